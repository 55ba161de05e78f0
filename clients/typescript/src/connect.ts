import { randomUUID } from "node:crypto";

import type { DescService } from "@bufbuild/protobuf";
import {
  Client,
  credentials,
  InterceptingCall,
  type ChannelOptions,
  type Interceptor,
} from "@grpc/grpc-js";

import { BudgetService } from "./gen/smartconnectors/budgets/v1/budget_service_pb.js";
import { GoogleAdsService } from "./gen/smartconnectors/google_ads/v1/google_ads_service_pb.js";
import { MetaService } from "./gen/smartconnectors/meta/v1/meta_service_pb.js";
import { TradeDeskService } from "./gen/smartconnectors/trade_desk/v1/trade_desk_service_pb.js";
import { stubOf, type Stub } from "./service.js";

/**
 * What `connect` applies: bids go round the servers, and a call that no server carried out
 * (UNAVAILABLE) is tried again, at the time that the server gave, with the same request id.
 */
export const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
} as const;

/** Whom to trust, and as whom to show oneself. All in PEM. */
export interface Tls {
  /** The authorities that vouch for the server. Undefined: those that Node ships. */
  readonly ca?: Buffer;
  /** This client's own certificate, for a server that asks for one. */
  readonly cert?: Buffer;
  /** Its private key. */
  readonly key?: Buffer;
}

/** How to connect. */
export interface ConnectOptions {
  /** Encrypts. Undefined: plain text. */
  readonly tls?: Tls;
  /** A bearer token, shown with every call. Spaces and line breaks around it are taken off. */
  readonly token?: string;
  /**
   * False leaves every retry to the caller. A connection that breaks in the middle of a call looks
   * like UNAVAILABLE too, so it is for a target with several servers that do not share a ledger,
   * and no proxy that pins by `PIN`: the request id is known to the one that took it, and to no
   * other. Default: true.
   */
  readonly retries?: boolean;
  /** Passed on to grpc-js; they win over those of `connect`. */
  readonly channelOptions?: ChannelOptions;
}

/** A connection, and the services over it. */
export interface Connection extends Disposable {
  readonly googleAds: Stub<typeof GoogleAdsService>;
  readonly meta: Stub<typeof MetaService>;
  readonly tradeDesk: Stub<typeof TradeDeskService>;
  readonly budgets: Stub<typeof BudgetService>;
  /** The calls of any other service. */
  service<S extends DescService>(service: S): Stub<S>;
  /** Ends it. Calls under way go on to their own end. */
  close(): void;
}

/**
 * Makes a connection to `host:port`, or to any target that gRPC resolves. It connects with the first
 * call.
 *
 * @throws Error when a token would leave this machine in plain text, or cannot be sent at all.
 */
export function connect(target: string, options: ConnectOptions = {}): Connection {
  const { tls, retries = true, channelOptions = {} } = options;
  const token = options.token === undefined ? undefined : cleanToken(options.token);
  const here = staysHere(target);
  if (token !== undefined && tls === undefined && !here) {
    throw new Error(`a token is not sent to ${target} in plain text`);
  }
  const { ca = null, key = null, cert = null } = tls ?? {};
  const client = new Client(
    target,
    tls === undefined ? credentials.createInsecure() : credentials.createSsl(ca, key, cert),
    {
      "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
      "grpc.enable_retries": retries ? 1 : 0,
      // An answer is never too large: the bids in it have been placed.
      "grpc.max_receive_message_length": -1,
      // A proxy's loopback is another machine's.
      ...(here ? { "grpc.enable_http_proxy": 0 } : {}),
      ...channelOptions,
      interceptors: token === undefined ? [] : [showing(token)],
    },
  );
  const close = () => client.close();
  return {
    googleAds: stubOf(client, GoogleAdsService),
    meta: stubOf(client, MetaService),
    tradeDesk: stubOf(client, TradeDeskService),
    budgets: stubOf(client, BudgetService),
    service: (service) => stubOf(client, service),
    close,
    [Symbol.dispose]: close,
  };
}

/** A random idempotency key. Send a retry with the same one. */
export function newRequestId(): string {
  return randomUUID();
}

/** The token without what nobody sees around it. */
function cleanToken(token: string): string {
  const unseen = "[\\s\\ufeff\\u200b-\\u200f\\u2060\\u00ad]+";
  const cleaned = token.replace(new RegExp(`^${unseen}|${unseen}$`, "g"), "");
  if (!/^[!-~]+$/.test(cleaned)) {
    throw new Error("a token is one word of printable ASCII without spaces; this one is not");
  }
  return cleaned;
}

/** True when nobody else reads plain text to this target. */
function staysHere(target: string): boolean {
  if (/^unix(-abstract)?:/.test(target)) {
    return true;
  }
  const name = target.replace(/^[a-z0-9+.-]+:\/\/\//, "");
  const host = name.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1");
  return host === "localhost" || host === "::1" || /^127(\.[0-9]{1,3}){3}$/.test(host);
}

/** gRPC's own call credentials do the same, but never over plain text on the same machine. */
function showing(token: string): Interceptor {
  return (options, next) =>
    new InterceptingCall(next(options), {
      start(metadata, listener, forward) {
        metadata.set("authorization", `Bearer ${token}`);
        forward(metadata, listener);
      },
    });
}
