// One engine on both sides: parties compiled for this machine and for WebAssembly make keys and signatures together, and say the same
// bytes as two native ones under the same entropy. The signatures are verified by @noble/curves.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { Native, Wasm, engine, given, hex, noble, run, seat, share, unhex } from "./peers.mjs";

const schemes = [
  { name: "ECDSA on secp256k1", curve: "secp256k1", ecdsa: true, judge: judgeEcdsa(() => noble.secp256k1) },
  { name: "ECDSA on P-256", curve: "P-256", ecdsa: true, judge: judgeEcdsa(() => noble.p256) },
  {
    name: "Ed25519",
    curve: "edwards25519",
    ecdsa: false,
    judge: (signature, message, key) => noble.ed25519.verify(signature, message, key, { zip215: false }),
  },
  {
    name: "BIP-340 on secp256k1",
    curve: "secp256k1",
    ecdsa: false,
    judge: (signature, message, key) => noble.schnorr.verify(signature, message, key.slice(1)),
  },
];

function judgeEcdsa(curve) {
  return (signature, message, key, recoveryId) => {
    const digest = createHash("sha256").update(message).digest();
    const parsed = curve().Signature.fromCompact(signature).addRecoveryBit(recoveryId);
    assert.equal(parsed.recoverPublicKey(digest).toHex(true), hex(key), "the key is recovered from the signature");
    return curve().verify(signature, digest, key, { lowS: true });
  };
}

const message = Buffer.from("one engine for server and browser");
const identities = { 1: "11".repeat(32), 2: "22".repeat(32) };
const parties = Object.entries(identities).map(([i, secret]) => [
  Number(i),
  hex(engine.Identity.fromSecret(unhex(secret)).publicKey()),
]);

/** What party `me` starts a session with. Entropy and name differ from session to session and repeat from run to run. */
function spec(op, number, me, more) {
  const seed = (what) => createHash("sha256").update(`${what} ${number}`).digest("hex");
  return { op, me, parties, identity: identities[me], session: seed("session"), entropy: seed(`entropy of ${me},`), ...more };
}

/** A key, its set-up and a signature, with everything that was said. */
async function ceremonies(peers, scheme, number) {
  const both = (make) => ({ 1: make(1), 2: make(2) });
  const { curve } = scheme;
  const born = await run(peers, both((me) => spec("generate", `${number}a`, me, { curve, threshold: 2 })));
  const key = both((me) => ({ curve, package: born.outcomes[me].package, secret: born.outcomes[me].secret }));
  assert.equal(born.outcomes[1].publicKey, born.outcomes[2].publicKey);
  assert.notEqual(born.outcomes[1].secret, born.outcomes[2].secret);
  const runs = [born];
  if (scheme.ecdsa) {
    const paired = await run(peers, both((me) => spec("setUp", `${number}b`, me, key[me])));
    runs.push(paired);
    const digest = createHash("sha256").update(message).digest("hex");
    const more = both((me) => ({ ...key[me], setup: paired.outcomes[me].setup, digest }));
    runs.push(await run(peers, both((me) => spec("signEcdsa", `${number}c`, me, more[me]))));
  } else {
    const more = both((me) => ({ ...key[me], message: hex(message) }));
    runs.push(await run(peers, both((me) => spec("signSchnorr", `${number}c`, me, more[me]))));
  }
  const signed = runs.at(-1).outcomes;
  assert.deepEqual(signed[1], signed[2], "both parties hold the same signature");
  const { signature, recoveryId } = signed[1];
  const publicKey = unhex(born.outcomes[1].publicKey);
  assert.ok(scheme.judge(unhex(signature), message, publicKey, recoveryId), "the signature verifies");
  const changed = unhex(signature);
  changed[63] ^= 1;
  assert.ok(!judged(() => scheme.judge(changed, message, publicKey, recoveryId)), "a changed one does not");
  return runs;
}

/** What the judge says; to refuse by throwing is to refuse. */
function judged(judge) {
  try {
    return judge();
  } catch {
    return false;
  }
}

const natives = [];
const native = () => natives[natives.push(new Native()) - 1];
let compared = 0;
const times = [];

before(() => assert.equal(typeof engine.Seat.seeded, "function", "the module has the feature `seeded`"));
after(() => natives.forEach((peer) => peer.close()));

for (const [number, scheme] of schemes.entries()) {
  test(`${scheme.name}: native and WebAssembly parties say the same bytes, and sign`, async () => {
    const plain = await ceremonies({ 1: native(), 2: native() }, scheme, number);
    const pairs = [
      { 1: native(), 2: new Wasm() },
      { 1: new Wasm(), 2: native() },
      { 1: new Wasm(), 2: new Wasm() },
    ];
    for (const peers of pairs) {
      const mixed = await ceremonies(peers, scheme, number);
      assert.equal(mixed.length, plain.length);
      for (const [at, one] of plain.entries()) {
        for (const me of [1, 2]) {
          assert.deepEqual(mixed[at].said[me], one.said[me], `what party ${me} says in ceremony ${at}`);
          assert.deepEqual(mixed[at].outcomes[me], one.outcomes[me], `what party ${me} holds after ceremony ${at}`);
          compared += one.said[me].reduce((sum, turn) => sum + turn.messages.length, 0);
        }
        if (peers[1] instanceof Native) {
          const names = scheme.ecdsa ? ["key generation", "set-up", "signature"] : ["key generation", "signature"];
          times.push([scheme.name, names[at], one.micros[1] / 1000, mixed[at].micros[2] / 1000]);
        }
      }
    }
  });
}

test("another entropy gives other bytes, so that equal bytes mean something", async () => {
  const start = (more) => new Wasm().call({ ...spec("generate", "z", 1, { curve: "secp256k1", threshold: 2 }), ...more });
  const first = await start({});
  assert.deepEqual((await start({})).messages, first.messages);
  assert.notDeepEqual((await start({ entropy: "ff".repeat(32) })).messages, first.messages);
  // Without entropy of ours it is the host's, and never the same.
  const fresh = await Promise.all([start({ entropy: undefined }), start({ entropy: undefined })]);
  assert.notDeepEqual(fresh[0].messages, fresh[1].messages);
});

test("what a peer changes on its way is named in WebAssembly as it is natively", async () => {
  const spoil = (round, at) => {
    let count = 0;
    return (parcel) => {
      if (parcel.from !== 1 || ++count !== round) return parcel;
      const bytes = unhex(parcel.bytes);
      bytes[at < 0 ? bytes.length + at : at] ^= 1;
      return { ...parcel, bytes: hex(bytes) };
    };
  };
  const make = (me) => spec("generate", "y", me, { curve: "secp256k1", threshold: 2 });
  const specs = { 1: make(1), 2: make(2) };
  const reasons = new Set();
  // Behind the 46 bytes of a frame's head, where the broadcast of every round of a key generation starts; and the secret at the end of
  // round 2.
  for (const [round, at] of [[1, 50], [2, 50], [2, -1], [3, 50], [4, 50]]) {
    const plain = await run({ 1: native(), 2: native() }, specs, spoil(round, at));
    const mixed = await run({ 1: native(), 2: new Wasm() }, specs, spoil(round, at));
    assert.deepEqual(mixed.outcomes, plain.outcomes, `round ${round}`);
    assert.deepEqual(mixed.said, plain.said, `round ${round}`);
    assert.match(mixed.outcomes[2].aborted, /party 1 /, `round ${round}`);
    reasons.add(mixed.outcomes[2].aborted);
  }
  assert.equal(reasons.size, 3, [...reasons].join("; "));
});

test("junk is dropped, and the session goes on to its end", async () => {
  const peers = { 1: native(), 2: new Wasm() };
  const make = (me) => spec("generate", "x", me, { curve: "edwards25519", threshold: 2 });
  const dropped = [];
  const first = await peers[2].call(make(2));
  for (const bytes of ["", "00", "ff".repeat(300), first.messages[0][1]]) {
    dropped.push((await peers[2].call({ op: "feed", from: 1, bytes })).dropped);
  }
  dropped.push((await peers[2].call({ op: "feed", from: 3, bytes: "00" })).dropped);
  assert.deepEqual(dropped, ["Malformed", "Malformed", "Malformed", "Spoofed", "Stranger"]);
  assert.equal((await peers[2].call({ op: "feed", from: 1, bytes: "01" })).outcome, null);
  const queue = [...(await peers[1].call(make(1))).messages.map(([to, bytes]) => ({ from: 1, to, bytes }))];
  queue.push(...first.messages.map(([to, bytes]) => ({ from: 2, to, bytes })));
  const keys = [];
  while (queue.length > 0) {
    const { from, to, bytes } = queue.shift();
    const answer = await peers[to].call({ op: "feed", from, bytes });
    queue.push(...answer.messages.map(([next, more]) => ({ from: to, to: next, bytes: more })));
    if (answer.outcome) keys.push(answer.outcome.publicKey);
  }
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

/** What `act` throws, which is an `Error` with these properties. */
function thrown(act, properties) {
  let error;
  assert.throws(act, (caught) => (error = caught) instanceof Error);
  const { code, retryable, peer } = error;
  assert.deepEqual({ code, retryable, peer }, properties, error.message);
  return error;
}

/** Two parties in this process with a key and its set-up, which stays open; `start` begins to sign. */
async function pair(curve, number) {
  const both = (make) => ({ 1: make(1), 2: make(2) });
  const peers = () => both(() => new Wasm());
  const born = await run(peers(), both((me) => spec("generate", `${number}a`, me, { curve, threshold: 2 })));
  const key = both((me) => ({ curve, package: born.outcomes[me].package, secret: born.outcomes[me].secret }));
  const paired = await run(peers(), both((me) => spec("setUp", `${number}b`, me, key[me])));
  const open = (me, burned) => engine.Setup.open(curve, unhex(paired.outcomes[me].setup), new Uint16Array(burned));
  const digest = new Uint8Array(32).fill(7);
  const start = (me, setup, name) =>
    engine.Ceremony.signEcdsa(seat(spec("signEcdsa", `${number}${name}`, me)), share(key[me]), setup, digest);
  return { open, start };
}

/** Everything that a ceremony has to say. */
function settle(ceremony) {
  const said = { effects: [], messages: [] };
  for (let e; (e = ceremony.effect()); ) said.effects.push([e.kind, e.peer, e.name]);
  ceremony.durable();
  for (let m; (m = ceremony.message()); ) said.messages.push(m.bytes);
  return said;
}

// covers: A4
test("a burned peer is refused with an error that says not to try again, however often it is tried", async () => {
  let refused = 0;
  for (const [number, curve] of ["secp256k1", "P-256"].entries()) {
    const { open, start } = await pair(curve, `burned ${number}`);
    const setups = { 1: open(1, []), 2: open(2, []) };
    const again = (setup, name) => {
      for (let attempt = 0; attempt < 4; attempt++) {
        const error = thrown(() => start(2, setup, `${name} ${attempt}`), {
          code: "burned_instance",
          retryable: false,
          peer: 1,
        });
        assert.match(error.message, /party 1 is burned; do not try again/);
        refused++;
      }
    };
    // Party 1 is made to cheat in its multiplication: the check fails, and what follows is final.
    const [cheat, other] = [start(1, setups[1], "cheat"), start(2, setups[2], "cheat")];
    const early = start(2, setups[2], "early");
    const wrong = settle(cheat).messages[0];
    settle(other);
    settle(early);
    wrong[wrong.length - 1] ^= 1;
    assert.equal(other.feed(1, wrong), undefined);
    assert.deepEqual(settle(other).effects, [["burn", 1, "ot_extension"]]);
    thrown(() => other.outcome(), { code: "ot_extension", retryable: false, peer: 1 });
    again(setups[2], "same");
    // A session that had started before, of which the message is right.
    assert.equal(early.feed(1, settle(start(1, setups[1], "early")).messages[0]), undefined);
    assert.deepEqual(settle(early).effects, [["burn", 1, "burned_instance"]]);
    thrown(() => early.outcome(), { code: "burned_instance", retryable: false, peer: 1 });
    // And after a restart that was told of the burn; one that was not would sign, which is what the page must keep it for.
    again(open(2, [1]), "restart");
    start(2, open(2, []), "untold");
  }
  assert.equal(refused, 16);
});

test("a failed check that burns nothing says that another attempt may end well", async () => {
  const make = (me) => spec("generate", "w", me, { curve: "secp256k1", threshold: 2 });
  const ceremonies = [1, 2].map((me) => engine.Ceremony.generate(seat(make(me)), "secp256k1", 2));
  const [one, two] = ceremonies;
  const [commitments, answer] = ceremonies.map((ceremony) => settle(ceremony).messages[0]);
  assert.equal(one.feed(2, answer), undefined);
  assert.equal(two.feed(1, commitments), undefined);
  const opening = settle(one).messages[0];
  settle(two);
  opening[50] ^= 1;
  assert.equal(two.feed(1, opening), undefined);
  assert.deepEqual(settle(two).effects, []);
  const { message } = thrown(() => two.outcome(), { code: "broadcast_signature", retryable: true, peer: 1 });
  assert.match(message, /party 1 /);
});

test("what does not fit is refused in words, not by a trap", () => {
  const refusals = [
    () => engine.Identity.fromSecret(new Uint8Array(31)),
    () => new engine.Parties().add(0, unhex(parties[0][1])),
    () => new engine.Parties().add(1, new Uint8Array(32).fill(2)),
    () => engine.Share.open("secp256k1", new Uint8Array(3), new Uint8Array(3)),
    () => engine.Share.open("secp521r1", new Uint8Array(3), new Uint8Array(3)),
    () => engine.Setup.open("edwards25519", new Uint8Array(3), new Uint16Array()),
  ];
  for (const refused of refusals) {
    const { message } = thrown(refused, { code: "invalid", retryable: false, peer: undefined });
    assert.ok(message.length > 10);
  }
  // The module still works: a trap would have ended it.
  assert.equal(engine.Identity.fromSecret(new Uint8Array(32).fill(9)).publicKey().length, 32);
});

test("as many messages were compared as there are, and the module is small enough to download", () => {
  // A pair of parties says 2 × (4 + 3 + 3) messages with ECDSA and 2 × (4 + 2) with FROST; three pairings were compared.
  assert.equal(compared, 3 * 2 * (2 * (4 + 3 + 3) + 2 * (4 + 2)));
  const folder = given("QUORATE_TEST_WASM");
  const module = readdirSync(folder).find((name) => name.endsWith(".wasm"));
  const { size } = statSync(path.join(folder, module));
  console.log(`${module}: ${size} bytes`);
  assert.ok(size < 2_500_000, "the module grew beyond 2.5 MB");
  for (const [scheme, ceremony, plain, wasm] of times) {
    console.log(`${scheme}, ${ceremony}: ${plain.toFixed(1)} ms native, ${wasm.toFixed(1)} ms WebAssembly, one party`);
  }
});
