import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, Server, ServerCredentials, status as Code } from "@grpc/grpc-js";
import type { TestContext } from "node:test";

import {
  BadRequestSchema, ErrorInfoSchema, RetryInfoSchema,
} from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import {
  PlaceBidRequestSchema, PlaceBidResponseSchema, StreamBidsRequestSchema, StreamBidsResponseSchema,
} from "../src/gen/smartconnectors/google_ads/v1/google_ads_service_pb.js";
import { connect, PIN, type ConnectOptions, type Connection } from "../src/index.js";

/** What a call fails with. */
export interface Failure {
  code: Code;
  details: string;
  metadata?: Metadata;
}

/** A server that answers each PlaceBid with the next failure, and with an answer when none is left. */
export class Scripted {
  readonly failures: Failure[];
  readonly ids: string[] = [];
  readonly tokens: unknown[] = [];
  readonly pins: unknown[] = [];
  readonly deadlines: unknown[] = [];
  cancelled = 0;

  constructor(...failures: Failure[]) {
    this.failures = failures;
  }

  /** Serves, and connects to it. */
  async serve(t: TestContext, options: ConnectOptions = {}): Promise<Connection> {
    const connection = connect(`127.0.0.1:${await this.listen(t)}`, options);
    t.after(() => connection.close());
    return connection;
  }

  /** Serves on a port of this machine, and says which. */
  async listen(t: TestContext): Promise<number> {
    const server = new Server();
    const path = (name: string) => `/smartconnectors.google_ads.v1.GoogleAdsService/${name}`;
    const codec = <I, O>(read: (bytes: Buffer) => I, write: (message: O) => Buffer) => ({
      requestSerialize: () => Buffer.alloc(0), requestDeserialize: read,
      responseSerialize: write, responseDeserialize: () => { throw new Error("never asked"); },
    });
    server.addService(
      {
        PlaceBid: {
          path: path("PlaceBid"), requestStream: false, responseStream: false,
          ...codec((b) => fromBinary(PlaceBidRequestSchema, b),
            (m: MessageInitShape<typeof PlaceBidResponseSchema>) =>
              Buffer.from(toBinary(PlaceBidResponseSchema, create(PlaceBidResponseSchema, m)))),
        },
        StreamBids: {
          path: path("StreamBids"), requestStream: true, responseStream: true,
          ...codec((b) => fromBinary(StreamBidsRequestSchema, b),
            (m: MessageInitShape<typeof StreamBidsResponseSchema>) =>
              Buffer.from(toBinary(StreamBidsResponseSchema, create(StreamBidsResponseSchema, m)))),
        },
      },
      {
        PlaceBid: (call: any, answer: any) => {
          this.ids.push(call.request.bid?.requestId ?? "");
          this.tokens.push(...call.metadata.get("authorization"));
          this.pins.push(...call.metadata.get(PIN));
          this.deadlines.push(call.getDeadline());
          const failure = this.failures.shift();
          failure === undefined ? answer(null, {}) : answer(failure);
        },
        StreamBids: (call: any) => {
          call.on("cancelled", () => { this.cancelled += 1; });
          const failure = this.failures.shift();
          if (failure !== undefined) {
            call.emit("error", failure);
            return;
          }
          call.on("data", (request: any) => {
            call.write({ answer: { requestId: request.bid.bid.requestId } });
          });
          call.on("end", () => call.end());
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(),
        (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    t.after(() => server.forceShutdown());
    return port;
  }
}

/** A veto with all its details. */
export function veto(domain = "smartconnectors"): Failure {
  const metadata = new Metadata();
  const details = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, {
      domain, reason: "BUDGET_EXCEEDED",
      metadata: {
        budget_id: "google_ads", amount_micros: "300000000", limit_micros: "500000000",
        committed_micros: "275000000", held_micros: "1", remaining_micros: "224999999",
        currency_code: "USD",
      },
    })),
    anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: 372n, nanos: 5e8 } })),
    anyPack(BadRequestSchema, create(BadRequestSchema, {
      fieldViolations: [{ field: "bid.bid_micros", description: "less, please" }],
    })),
  ];
  metadata.set("grpc-status-details-bin",
    Buffer.from(toBinary(StatusSchema, create(StatusSchema, { details }))));
  return { code: Code.RESOURCE_EXHAUSTED, details: "does not fit", metadata };
}
