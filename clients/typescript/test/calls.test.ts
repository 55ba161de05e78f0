import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Metadata, status as Code } from "@grpc/grpc-js";

import {
  BidErrorSchema, BudgetExceeded, connect, errorOfBid, ErrorReason, newRequestId, PIN, ServiceError,
} from "../src/index.js";
import { Scripted, veto } from "./server.js";

async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof ServiceError, String(error));
    return error;
  }
  assert.fail("the call did not fail");
}

test("a veto comes with its reason, its numbers and its time", async (t) => {
  const { googleAds } = await new Scripted(veto()).serve(t);
  const failure = await failureOf(googleAds.placeBid({}));
  assert.ok(failure instanceof BudgetExceeded);
  assert.equal(failure.reason, "BUDGET_EXCEEDED");
  assert.equal(failure.message, "does not fit");
  assert.equal(failure.retryAfterMs, 372_500);
  assert.deepEqual(failure.violations, [{ field: "bid.bid_micros", description: "less, please" }]);
  assert.equal(failure.budgetId, "google_ads");
  assert.equal(failure.currency, "USD");
  assert.deepEqual(
    [failure.amount, failure.limit, failure.committed, failure.held, failure.remaining],
    [300_000_000n, 500_000_000n, 275_000_000n, 1n, 224_999_999n],
  );
  assert.deepEqual([failure.deferred, failure.inDoubt, failure.mayRetry], [0n, 0n, false]);
});

test("details of another service are not taken for ours", async (t) => {
  const { googleAds } = await new Scripted(veto("example.test")).serve(t);
  const failure = await failureOf(googleAds.placeBid({}));
  assert.equal(failure.reason, "");
  assert.ok(!(failure instanceof BudgetExceeded));
});

test("a call that no server carried out is tried again with the same id and token", async (t) => {
  const away = { code: Code.UNAVAILABLE, details: "away" };
  const server = new Scripted(away, away);
  const { googleAds } = await server.serve(t, { token: "secret" });
  await googleAds.placeBid({ bid: { requestId: "once" } });
  assert.deepEqual(server.ids, ["once", "once", "once"]);
  assert.deepEqual(server.tokens, Array(3).fill("Bearer secret"));
});

test("every try of a bid carries its id for proxies", async (t) => {
  const server = new Scripted({ code: Code.UNAVAILABLE, details: "away" });
  const { googleAds } = await server.serve(t);
  await googleAds.placeBid({ bid: { requestId: "order-1" } });
  const metadata = new Metadata();
  metadata.set(PIN, "a-batch");
  await googleAds.placeBid({ bid: { requestId: "order-2" } }, { metadata });
  await googleAds.placeBid({ bid: { requestId: "no header\n" } }, { metadata: new Metadata() });
  assert.deepEqual(server.pins, ["order-1", "order-1", "a-batch"]);
});

test("nothing but UNAVAILABLE is tried again", async (t) => {
  for (let number = 1; number <= 16; number += 1) {
    const code: Code = number;
    if (code === Code.UNAVAILABLE) {
      continue;
    }
    const server = new Scripted({ code, details: "no" });
    const { googleAds } = await server.serve(t);
    const failure = await failureOf(googleAds.placeBid({}));
    assert.equal(failure.code, code);
    assert.equal(server.ids.length, 1, Code[code]);
  }
});

test("retries can be the caller's own", async (t) => {
  const server = new Scripted({ code: Code.UNAVAILABLE, details: "away" });
  const { googleAds } = await server.serve(t, { retries: false });
  assert.ok((await failureOf(googleAds.placeBid({}))).mayRetry);
  assert.equal(server.ids.length, 1);
});

test("the server is told of the deadline", async (t) => {
  const server = new Scripted();
  const { googleAds } = await server.serve(t);
  const before = Date.now();
  await googleAds.placeBid({}, { timeoutMs: 30_000 });
  const [deadline] = server.deadlines;
  const leftMs = Number(deadline instanceof Date ? deadline.getTime() : deadline) - before;
  assert.ok(leftMs > 20_000 && leftMs < 31_000, `${leftMs} ms`);
});

test("an aborted call fails with CANCELLED", async (t) => {
  const { googleAds } = await new Scripted().serve(t);
  const failure = await failureOf(googleAds.placeBid({}, { signal: AbortSignal.abort() }));
  assert.equal(failure.code, Code.CANCELLED);
});

test("a stream answers each message and ends", async (t) => {
  const { googleAds } = await new Scripted().serve(t);
  const bids = Array.from({ length: 500 }, (_, n) => ({ bid: { bid: { requestId: `r${n}` } } }));
  const answered = [];
  for await (const { answer } of googleAds.streamBids(bids)) {
    answered.push(answer?.requestId);
  }
  assert.deepEqual(answered, bids.map(({ bid }) => bid.bid.requestId));
});

test("who stops reading a stream ends the call", async (t) => {
  const server = new Scripted();
  const { googleAds } = await server.serve(t);
  async function* endless() {
    for (let n = 0; ; n += 1) {
      yield { bid: { bid: { requestId: `r${n}` } } };
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  for await (const { answer } of googleAds.streamBids(endless())) {
    assert.equal(answer?.requestId, "r0");
    break;
  }
  while (server.cancelled === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test("a stream fails with the service's error, and with its source's", async (t) => {
  const { googleAds } = await new Scripted(veto()).serve(t);
  const read = async (requests: AsyncIterable<never>) => {
    for await (const _ of googleAds.streamBids(requests)) {
      assert.fail("answered");
    }
  };
  async function* never(): AsyncGenerator<never> {
    await new Promise(() => {});
  }
  await assert.rejects(read(never()), BudgetExceeded);
  async function* broken(): AsyncGenerator<never> {
    throw new RangeError("no more bids");
  }
  await assert.rejects(read(broken()), new RangeError("no more bids"));
});

test("a refused bid of a batch reads like a refused call", () => {
  const failure = errorOfBid(create(BidErrorSchema, {
    code: 8, reason: ErrorReason.BUDGET_EXCEEDED, message: "does not fit",
    metadata: { limit_micros: "500000000" }, retryAfter: { seconds: 1n },
    violations: [{ field: "bid", description: "d" }],
  }));
  assert.ok(failure instanceof BudgetExceeded);
  assert.deepEqual([failure.limit, failure.retryAfterMs], [500_000_000n, 1000]);
  assert.equal(failure.code, Code.RESOURCE_EXHAUSTED);
});

test("a token is trimmed", async (t) => {
  const server = new Scripted();
  const { googleAds } = await server.serve(t, { token: "\ufeffsecret\r\n\u00a0" });
  await googleAds.placeBid({});
  assert.deepEqual(server.tokens, ["Bearer secret"]);
});

test("a token that no header carries is refused without repeating it", () => {
  for (const token of ["two words", "a\0b", "café", " \n"]) {
    assert.throws(
      () => connect("127.0.0.1:1", { token }),
      (error: Error) => /one word/.test(error.message) && !error.message.includes(token),
    );
  }
});

test("a token does not leave this machine in plain text", () => {
  for (const target of ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/s", "dns:///localhost:1"]) {
    connect(target, { token: "t" }).close();
  }
  for (const target of ["example.test:1", "10.0.0.1:1", "dns:///example.test:1",
    "localhost.example.test:1", "127.0.0.1.example.test:1"]) {
    assert.throws(() => connect(target, { token: "t" }), /plain text/, target);
    connect(target, { token: "t", tls: {} }).close();
  }
});

test("a request id is one that the service takes, and no two are the same", () => {
  assert.match(newRequestId(), /^[A-Za-z0-9_.-]{1,64}$/);
  assert.notEqual(newRequestId(), newRequestId());
});

test("bids go round the servers", async (t) => {
  const servers = [new Scripted(), new Scripted()];
  const ports = await Promise.all(servers.map((server) => server.listen(t)));
  const connection = connect(`ipv4:${ports.map((port) => `127.0.0.1:${port}`).join(",")}`);
  t.after(() => connection.close());
  const signal = AbortSignal.timeout(10_000);
  while (servers.some((server) => server.ids.length === 0)) {
    await connection.googleAds.placeBid({}, { signal });
  }
});
