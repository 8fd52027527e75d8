# Short names for what CONTRIBUTING.md asks for. Anything longer than three lines belongs into xtask.

# Lists the recipes.
default:
    @just --list

# Before every commit: formatting, clippy, layers, spec, tests of the libraries.
check:
    cargo xtask test lint unit

# Everything, as CI runs it; suites can be named: `just test chain`.
test *SUITES:
    cargo xtask test {{SUITES}}

# Formats every crate.
fmt:
    cargo fmt --all

# Formatting, clippy, layers and spec only.
lint:
    cargo xtask test lint

# Licences, bans and sources; needs `cargo install --locked cargo-deny`.
deny:
    cargo deny check bans licenses sources
    cargo deny --manifest-path fuzz/Cargo.toml --workspace --config deny.toml check bans licenses sources

# The same with security advisories, which cargo-deny fetches from github.com.
advisories:
    cargo deny check advisories

# Changes the code in small ways and shows which changes no test notices; needs cargo-mutants.
mutants BASE="main":
    git diff {{BASE}} > target/mutants.diff
    cargo mutants --no-config --in-diff target/mutants.diff

# The same for what checks messages of peers in a crate, whole: `just mutants-of frost`. docs/mutants.md has what is known to survive.
mutants-of CRATE:
    cargo mutants -p quorate-{{CRATE}} --baseline=skip --timeout 240 -o target

# Feeds arbitrary bytes to decoders and sessions until they break; needs cargo-fuzz and a nightly toolchain: `just fuzz psbt --minutes 30`.
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}

# Figures; reports can be named: `just bench demo`.
bench *REPORTS:
    cargo xtask bench {{REPORTS}}

# The whole story in one command.
demo:
    cargo run --release -- demo

# The documentation of our crates, private items included, warnings denied.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
