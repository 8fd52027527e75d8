// Two kinds of parties behind one interface: `call(spec)` starts a session or feeds it a message, and gives what the session has to say.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import path from "node:path";

// Node.js 18 has it under another name; browsers and later versions have it.
globalThis.crypto ??= webcrypto;

export const hex = (bytes) => Buffer.from(bytes).toString("hex");
export const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));

/** The value of a variable that the test command sets. */
export function given(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`cargo xtask test wasm\``);
  return value;
}

const require = createRequire(path.join(given("QUORATE_TEST_NOBLE"), "x.js"));
export const engine = require(path.join(given("QUORATE_TEST_WASM"), "quorate_wasm.js"));
export const noble = {
  ...require("@noble/curves/secp256k1"),
  ...require("@noble/curves/p256"),
  ...require("@noble/curves/ed25519"),
};

/** A party in a process of its own, compiled for this machine. */
export class Native {
  constructor() {
    this.process = spawn(given("QUORATE_TEST_PEER"), { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }
  async call(spec) {
    this.process.stdin.write(JSON.stringify(spec) + "\n");
    const { value, done } = await this.lines.next();
    if (done) throw new Error("the native party ended");
    return JSON.parse(value);
  }
  close() {
    this.process.stdin.end();
  }
}

export function seat(spec) {
  const parties = new engine.Parties();
  for (const [index, key] of spec.parties) parties.add(index, unhex(key));
  const identity = engine.Identity.fromSecret(unhex(spec.identity));
  if (spec.entropy === undefined) return new engine.Seat(unhex(spec.session), spec.me, parties, identity);
  return engine.Seat.seeded(unhex(spec.session), spec.me, parties, identity, unhex(spec.entropy));
}

export const share = (spec) => engine.Share.open(spec.curve, unhex(spec.package), unhex(spec.secret));

const starts = {
  generate: (spec) => engine.Ceremony.generate(seat(spec), spec.curve, spec.threshold),
  setUp: (spec) => engine.Ceremony.setUp(seat(spec), share(spec)),
  signEcdsa: (spec) =>
    engine.Ceremony.signEcdsa(
      seat(spec),
      share(spec),
      engine.Setup.open(spec.curve, unhex(spec.setup), new Uint16Array()),
      unhex(spec.digest),
    ),
  signSchnorr: (spec) => engine.Ceremony.signSchnorr(seat(spec), share(spec), unhex(spec.message)),
};

/** A party in this process, as WebAssembly. */
export class Wasm {
  async call(spec) {
    const since = performance.now();
    let dropped = null;
    if (spec.op === "feed") dropped = this.ceremony.feed(spec.from, unhex(spec.bytes)) ?? null;
    else this.ceremony = starts[spec.op](spec);
    const effects = [];
    for (let e; (e = this.ceremony.effect()); ) {
      const rest = { burn: () => [e.peer, e.name], consume: () => [], persist: () => [e.name, hex(e.bytes)] };
      effects.push([e.kind, ...rest[e.kind]()]);
    }
    this.ceremony.durable();
    const messages = [];
    for (let m; (m = this.ceremony.message()); ) messages.push([m.to, hex(m.bytes)]);
    let outcome = null;
    try {
      const end = this.ceremony.outcome();
      if (end) outcome = this.#describe(end);
    } catch (error) {
      outcome = { aborted: error.message };
    }
    return { messages, effects, outcome, dropped, micros: (performance.now() - since) * 1000 };
  }
  #describe(end) {
    const share = end.share();
    if (share) {
      return { publicKey: hex(share.publicKey()), package: hex(share.publicPackage()), secret: hex(share.secret()) };
    }
    const setup = end.setup();
    if (setup) return { setup: hex(setup.secret()) };
    return { signature: hex(end.signature()), recoveryId: end.recoveryId() ?? null };
  }
  close() {}
}

/**
 * Runs one session of all parties. `specs` and the results are by index, from 1. What was said is recorded in the order in which the
 * parties said it; `meddle` may change a message or lose it.
 */
export async function run(peers, specs, meddle = (message) => message) {
  const said = {};
  const outcomes = {};
  const micros = {};
  const queue = [];
  const note = (from, answer) => {
    for (const [to, bytes] of answer.messages) queue.push({ from, to, bytes });
    (said[from] ??= []).push({ messages: answer.messages, effects: answer.effects, dropped: answer.dropped });
    if (answer.outcome) outcomes[from] = answer.outcome;
    micros[from] = (micros[from] ?? 0) + answer.micros;
  };
  for (const [index, peer] of Object.entries(peers)) note(Number(index), await peer.call(specs[index]));
  while (queue.length > 0) {
    const message = meddle(queue.shift());
    if (!message) continue;
    const { from, to, bytes } = message;
    note(to, await peers[to].call({ op: "feed", from, bytes }));
  }
  return { said, outcomes, micros };
}
