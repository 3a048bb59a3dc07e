// imapflow at the command of a test: each line of standard input is {"act": …} with what the act needs, and is answered
// by a line {"answer": …}. Between answers come lines {"event": …}: what the server told without being asked.
import { createInterface } from "node:readline";
import { ImapFlow } from "imapflow";

let client;

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// \Recent goes to whichever client came first.
const told = (flags) => [...flags].filter((flag) => flag !== "\\Recent");

const acts = {
  async open({ port, user, pass, ca }) {
    client = new ImapFlow({
      host: "localhost",
      port,
      secure: true,
      auth: { user, pass },
      tls: { ca },
      qresync: true,
      logger: false,
    });
    client.on("exists", ({ count }) => say({ event: "exists", count }));
    client.on("flags", ({ seq, flags }) => say({ event: "flags", seq, flags: told(flags) }));
    client.on("expunge", ({ uid, vanished }) => say({ event: "expunge", uid, vanished }));
    client.on("error", ({ message }) => say({ event: "error", message }));
    await client.connect();
    const { exists, highestModseq } = await client.mailboxOpen("INBOX");
    return { exists, modseq: String(highestModseq), enabled: [...client.enabled] };
  },

  // What has changed since a modification sequence, bodies included; everything when none is given.
  async sync({ since }) {
    const found = [];
    const options = since ? { changedSince: BigInt(since) } : {};
    for await (const { uid, flags, source } of client.fetch("1:*", { uid: true, flags: true, source: true }, options)) {
      found.push({ uid, flags: told(flags), source: source.toString("latin1") });
    }
    return found;
  },

  flag: ({ uid }) => client.messageFlagsAdd(String(uid), ["\\Flagged"], { uid: true }),

  async move({ uid, target }) {
    const { uidMap } = await client.messageMove(String(uid), target, { uid: true });
    return uidMap.get(uid);
  },

  delete: ({ uid }) => client.messageDelete(String(uid), { uid: true }),

  async append({ target, source }) {
    const { uid } = await client.append(target, Buffer.from(source, "latin1"), ["\\Draft"]);
    return uid;
  },

  // Answered at once: IDLE ends with the next act.
  async idle() {
    client.idle();
  },

  async close() {
    await client.logout();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...needs } = JSON.parse(line);
  say({ answer: (await acts[act](needs)) ?? null });
}
