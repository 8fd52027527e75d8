// What the browser's side of a signature costs: two WebAssembly parties in one Node.js sign again and again with open shares, and the time
// that the calls of one of them take is measured. `cargo xtask bench wasm` builds the package, whose folder is the first argument.

import { randomBytes, webcrypto } from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";

// Node.js 18 has it under another name; browsers and later versions have it.
globalThis.crypto ??= webcrypto;

const [folder, form] = process.argv.slice(2);
const engine = createRequire(import.meta.url)(path.resolve(folder, "quorate_wasm.js"));

/** Signatures before those that count: the first ones compile the module. */
const WARM_UP = 10;
const ROUNDS = 100;
const ME = 2;

const schemes = [
  { name: "ECDSA on secp256k1", key: "wasm_sign_2of2_ms", curve: "secp256k1", ecdsa: true },
  { name: "ECDSA on P-256", key: "wasm_sign_2of2_p256_ms", curve: "P-256", ecdsa: true },
  { name: "Ed25519", key: "wasm_sign_2of2_ed25519_ms", curve: "edwards25519", ecdsa: false },
  { name: "BIP-340 on secp256k1", key: "wasm_sign_2of2_bip340_ms", curve: "secp256k1", ecdsa: false },
];

const identities = [1, 2].map(() => randomBytes(32));
const identity = (me) => engine.Identity.fromSecret(identities[me - 1]);

/** Runs one session of both parties: what they hold in the end, and the milliseconds that the calls of each took. */
function run(start) {
  const session = randomBytes(32);
  const ms = { 1: 0, 2: 0 };
  const ceremonies = {};
  const ends = {};
  const queue = [];
  const timed = (me, call) => {
    const since = performance.now();
    call();
    const ceremony = ceremonies[me];
    while (ceremony.effect());
    ceremony.durable();
    for (let m; (m = ceremony.message()); ) queue.push({ from: me, to: m.to, bytes: m.bytes });
    const end = ceremony.outcome();
    ms[me] += performance.now() - since;
    if (end) ends[me] = end;
  };
  const begin = (me) => {
    const parties = new engine.Parties();
    for (const index of [1, 2]) parties.add(index, identity(index).publicKey());
    ceremonies[me] = start(me, new engine.Seat(session, me, parties, identity(me)));
  };
  for (const me of [1, 2]) timed(me, () => begin(me));
  while (queue.length > 0) {
    const { from, to, bytes } = queue.shift();
    timed(to, () => ceremonies[to].feed(from, bytes));
  }
  if (!(ends[1] && ends[2])) throw new Error("a session ended without a result");
  return { ends, ms: ms[ME] };
}

function measure({ curve, ecdsa }) {
  const both = (make) => ({ 1: make(1), 2: make(2) });
  const born = run((me, seat) => engine.Ceremony.generate(seat, curve, 2)).ends;
  const shares = both((me) => born[me].share());
  let setups = null;
  if (ecdsa) {
    const paired = run((me, seat) => engine.Ceremony.setUp(seat, shares[me])).ends;
    setups = both((me) => paired[me].setup());
  }
  const what = () => randomBytes(32);
  const times = [];
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    const content = what();
    const { ends, ms } = run((me, seat) =>
      ecdsa
        ? engine.Ceremony.signEcdsa(seat, shares[me], setups[me], content)
        : engine.Ceremony.signSchnorr(seat, shares[me], content),
    );
    if (Buffer.compare(Buffer.from(ends[1].signature()), Buffer.from(ends[2].signature())) !== 0) {
      throw new Error("the parties hold different signatures");
    }
    times.push(ms);
  }
  const counted = times.slice(WARM_UP).sort((a, b) => a - b);
  const at = (share) => counted[Math.floor(share * (counted.length - 1))];
  return { first: times[0], median: at(0.5), low: at(0.1), high: at(0.9) };
}

const found = schemes.map((scheme) => ({ scheme, figures: measure(scheme) }));
const shown = (ms) => ms.toFixed(2);
if (form === "--json") {
  for (const { scheme, figures } of found) {
    console.log(JSON.stringify({ figure: scheme.key, value: figures.median, p10: figures.low, p90: figures.high, first: figures.first }));
  }
  // One key a row, as the last object of `protocols` has.
  console.log(JSON.stringify(Object.fromEntries(found.map(({ scheme, figures }) => [scheme.key, figures.median]))));
} else {
  console.log(`Node.js ${process.version}, ${ROUNDS} signatures each, one party of 2 of 2, milliseconds\n`);
  console.log("| scheme | median | p10 to p90 | the first |\n|---|---:|---:|---:|");
  for (const { scheme, figures: { median, low, high, first } } of found) {
    console.log(`| ${scheme.name} | ${shown(median)} | ${shown(low)} to ${shown(high)} | ${shown(first)} |`);
  }
}
