import { resolve } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";

const PROTO = resolve(import.meta.dirname, "../../proto");

/** What another program would do with nothing but our `.proto` files and a gRPC library of its own. */
function loadClients() {
  const loaded = grpc.loadPackageDefinition(
    loadSync(
      [
        "sluice/router/v1/router.proto",
        "sluice/router/v1/control.proto",
        "grpc/health/v1/health.proto",
        "grpc/reflection/v1/reflection.proto",
      ],
      { includeDirs: [PROTO], oneofs: true, enums: String, longs: Number },
    ),
  );
  const find = (name: string): grpc.ServiceClientConstructor => {
    let at: unknown = loaded;
    for (const part of name.split(".")) at = (at as Record<string, unknown>)[part];
    return at as grpc.ServiceClientConstructor;
  };
  return {
    Router: find("sluice.router.v1.RouterService"),
    Sessions: find("sluice.router.v1.SessionService"),
    Health: find("grpc.health.v1.Health"),
    Reflection: find("grpc.reflection.v1.ServerReflection"),
  };
}

interface Message {
  readonly message?: string;
  readonly [field: string]: unknown;
}

describe("a client of another gRPC implementation", () => {
  const clients = loadClients();
  const open: grpc.Client[] = [];
  let world: RouterUnderTest;
  beforeEach(async () => {
    world = await startRouter();
  });
  afterEach(async () => {
    for (const client of open.splice(0)) client.close();
    await world.close();
  });

  function client(kind: keyof typeof clients): grpc.Client {
    const made = new clients[kind](`127.0.0.1:${world.port}`, grpc.credentials.createInsecure());
    open.push(made);
    return made;
  }

  function call(made: grpc.Client, method: string, ...args: unknown[]): grpc.ClientDuplexStream<unknown, Message> {
    const found = (made as unknown as Record<string, (...given: unknown[]) => unknown>)[method];
    return found?.apply(made, args) as grpc.ClientDuplexStream<unknown, Message>;
  }

  function ask(made: grpc.Client, method: string, request: unknown, ticket?: string) {
    const metadata = new grpc.Metadata();
    if (ticket !== undefined) metadata.set("authorization", `Bearer ${ticket}`);
    return new Promise<Record<string, unknown>>((answer, fail) => {
      call(made, method, request, metadata, (error: grpc.ServiceError | null, value: Record<string, unknown>) =>
        error === null ? answer(value) : fail(error),
      );
    });
  }

  it("joins as operator and gets back what the box echoes, of any size, and ends in order", async () => {
    const box = world.join({ side: "box" });
    box.stream.on("data", () => {
      for (const frame of box.frames.splice(0)) box.sendRaw(Buffer.concat([prefixOf(frame), frame]));
    });
    const operator = call(client("Router"), "join");
    const got: Message[] = [];
    const status = new Promise<grpc.StatusObject>((done) => operator.on("status", done));
    operator.on("data", (message: Message) => got.push(message));
    operator.on("error", () => undefined);
    operator.write({ join: { ticket: ticketFor(), client: "foreign/1" } });
    const payloads = [1, 100, 65_536, 1_000_000].map((length) => Buffer.alloc(length, length));
    for (const [index, bytes] of payloads.entries()) {
      operator.write({ frame: { seq: index + 1, channel: 1, data: { pipe: "PIPE_IN", bytes } } });
    }
    await expect.poll(() => got.filter(({ message }) => message === "frame").length).toBe(payloads.length);
    expect(got[0]).toMatchObject({ message: "joined", joined: { sessionId: "s-1", peerClient: "test/1" } });
    const echoed = got.slice(1).map(({ frame }) => (frame as { data: { bytes: Buffer } }).data.bytes);
    expect(echoed.map((bytes, index) => bytes.equals(payloads[index] ?? Buffer.alloc(0)))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    operator.end();
    await box.until("ended");
    box.stream.end();
    expect((await status).code).toBe(grpc.status.OK);
    expect(got.at(-1)).toMatchObject({ ended: { reason: "END_REASON_PEER_DONE" } });
  });

  it("hears why it may not join", async () => {
    const operator = call(client("Router"), "join");
    const status = new Promise<grpc.StatusObject>((done) => operator.on("status", done));
    operator.on("error", () => undefined).resume();
    operator.write({ join: { ticket: ticketFor({ aud: "röuter" }), client: "foreign/1" } });
    expect(await status).toMatchObject({
      code: grpc.status.PERMISSION_DENIED,
      details: "the ticket is for the router röuter; this is router-1",
    });
  });

  it("is told of the router's health, and of its change", async () => {
    const health = client("Health");
    const states = async () => {
      const all = ["", "ready", "draining"].map((service) => ask(health, "check", { service }));
      return (await Promise.all(all)).map(({ status }) => status);
    };
    expect(await states()).toEqual(["SERVING", "SERVING", "NOT_SERVING"]);
    await expect(ask(health, "check", { service: "no.Such" })).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
    const watch = call(health, "watch", { service: "ready" });
    const seen: unknown[] = [];
    watch.on("data", ({ status }: Message) => seen.push(status)).on("error", () => undefined);
    await expect.poll(() => seen).toEqual(["SERVING"]);
    const side = world.join();
    world.join({ side: "box" });
    await side.until("joined");
    const drained = world.router.drain(2000);
    await expect.poll(() => seen).toEqual(["SERVING", "NOT_SERVING"]);
    expect(await states()).toEqual(["SERVING", "NOT_SERVING", "SERVING"]);
    await drained;
  });

  it("finds by reflection what is served, with everything that it needs to call it", async () => {
    const reflection = call(client("Reflection"), "serverReflectionInfo");
    const answers: Message[] = [];
    reflection.on("data", (answer: Message) => answers.push(answer)).on("error", () => undefined);
    reflection.write({ listServices: "" });
    reflection.write({ fileContainingSymbol: "sluice.router.v1.RouterService.Join" });
    reflection.write({ fileByFilename: "no/such.proto" });
    await expect.poll(() => answers.length).toBe(3);
    expect(answers[0]).toMatchObject({
      listServicesResponse: {
        service: [
          { name: "sluice.router.v1.RouterService" },
          { name: "sluice.router.v1.SessionService" },
          { name: "grpc.health.v1.Health" },
          { name: "grpc.reflection.v1.ServerReflection" },
        ],
      },
    });
    const found = answers[1]?.["fileDescriptorResponse"] as { fileDescriptorProto: Buffer[] } | undefined;
    const texts = (found?.fileDescriptorProto ?? []).map((bytes) => bytes.toString("latin1"));
    expect(texts).toHaveLength(2);
    expect(texts[0]).toContain("sluice/router/v1/router.proto");
    expect(texts[1]).toContain("sluice/router/v1/frame.proto");
    expect(answers[2]).toMatchObject({ errorResponse: { errorCode: grpc.status.NOT_FOUND } });
    reflection.end();
  });

  it("lists and ends sessions with tickets for that, and with no others", async () => {
    const operator = world.join();
    const box = world.join({ side: "box" });
    await Promise.all([operator.until("joined"), box.until("joined")]);
    const sessions = client("Sessions");
    const all = () => ticketFor({ side: "control", sid: "*" });
    const one = (sid: string) => ticketFor({ side: "control", sid });
    expect(await ask(sessions, "listSessions", {}, all())).toMatchObject({
      routerId: "router-1",
      sessions: [{ sessionId: "s-1", box: "edge-001", operator: "ada", state: "SESSION_STATE_OPEN", boxJoined: true }],
    });
    const id = { sessionId: "s-1" };
    const refusals: [string, unknown, string | undefined, number][] = [
      ["listSessions", {}, undefined, grpc.status.UNAUTHENTICATED],
      ["listSessions", {}, one("s-1"), grpc.status.PERMISSION_DENIED],
      ["listSessions", {}, ticketFor({ sid: "*" }), grpc.status.PERMISSION_DENIED],
      ["getSession", id, one("s-2"), grpc.status.PERMISSION_DENIED],
      ["terminateSession", id, ticketFor(), grpc.status.PERMISSION_DENIED],
      ["getSession", { sessionId: "s-9" }, one("s-9"), grpc.status.NOT_FOUND],
    ];
    for (const [method, request, ticket, code] of refusals) {
      await expect(ask(sessions, method, request, ticket)).rejects.toMatchObject({ code });
    }
    expect(await ask(sessions, "getSession", id, one("s-1"))).toMatchObject({ session: { sessionId: "s-1" } });
    await ask(sessions, "terminateSession", { ...id, message: "enough" }, one("s-1"));
    expect(await box.until("ended")).toMatchObject({ message: { value: { message: "enough" } } });
    expect(world.router.list()).toEqual([]);
  });
});

function prefixOf({ length }: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(length, 1);
  return prefix;
}
