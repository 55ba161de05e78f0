import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Metadata, type CallOptions as GrpcOptions, type Client } from "@grpc/grpc-js";

import { errorOf } from "./errors.js";

/** The metadata that a proxy pins by; `placeBid` says its request id there. */
export const PIN = "x-request-id";

/** How one call is made. */
export interface CallOptions {
  /** The deadline, from now. The server is told of it. Undefined: none. */
  readonly timeoutMs?: number;
  /** Ends the call when it is aborted. A bid that was sent goes on, and a retry tells. */
  readonly signal?: AbortSignal;
  /** Sent with the call. */
  readonly metadata?: Metadata;
}

type Typed<Kind extends string, I extends DescMessage, O extends DescMessage> = {
  methodKind: Kind;
  input: I;
  output: O;
};

type Call<M> =
  M extends Typed<"unary", infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends Typed<"server_streaming", infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : M extends Typed<"bidi_streaming", infer I, infer O>
        ? (
            requests: AsyncIterable<MessageInitShape<I>> | Iterable<MessageInitShape<I>>,
            options?: CallOptions,
          ) => AsyncIterable<MessageShape<O>>
        : never;

/** The calls of a service: a promise, or an async iterable where it streams. */
export type Stub<S extends DescService> = { readonly [K in keyof S["method"]]: Call<S["method"][K]> };

/** The calls of a service over a connection. All of them fail with a `ServiceError`. */
export function stubOf<S extends DescService>(client: Client, service: S): Stub<S> {
  const calls = service.methods.map((method) => [method.localName, callOf(client, method)]);
  return Object.fromEntries(calls) as Stub<S>;
}

function callOf(client: Client, method: DescMethod): unknown {
  const path = `/${method.parent.typeName}/${method.name}`;
  const write = (message: MessageInitShape<DescMessage>) =>
    Buffer.from(toBinary(method.input, create(method.input, message)));
  const read = (bytes: Buffer) => fromBinary(method.output, bytes);
  switch (method.methodKind) {
    case "unary":
      return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) =>
        new Promise((resolve, reject) => {
          const call = client.makeUnaryRequest(
            path, write, read, request, pinned(headers(options), request), grpcOptions(options),
            (error, answer) => {
              release();
              error === null ? resolve(answer) : reject(errorOf(error));
            },
          );
          const release = cancelledBy(options.signal, call);
        });
    case "server_streaming":
      return async function* (request: MessageInitShape<DescMessage>, options: CallOptions = {}) {
        const call = client.makeServerStreamRequest(
          path, write, read, request, headers(options), grpcOptions(options),
        );
        yield* answersOf(call, options.signal);
      };
    case "bidi_streaming":
      return async function* (
        requests: AsyncIterable<MessageInitShape<DescMessage>> | Iterable<MessageInitShape<DescMessage>>,
        options: CallOptions = {},
      ) {
        const call = client.makeBidiStreamRequest(
          path, write, read, headers(options), grpcOptions(options),
        );
        const sending = new Sending(call);
        void sending.send(requests);
        try {
          yield* answersOf(call, options.signal);
        } catch (error) {
          throw sending.failure ?? error;
        } finally {
          sending.stop();
        }
        if (sending.failure !== undefined) {
          throw sending.failure;
        }
      };
    default:
      throw new TypeError(`${path} streams its requests and answers once, as no call here does`);
  }
}

interface Cancellable {
  cancel(): void;
}

function cancelledBy(signal: AbortSignal | undefined, call: Cancellable): () => void {
  const cancel = () => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  if (signal?.aborted) {
    cancel();
  }
  return () => signal?.removeEventListener("abort", cancel);
}

/** What a stream says, until it ends; who stops reading ends it. */
async function* answersOf(call: Cancellable & AsyncIterable<unknown>, signal?: AbortSignal) {
  const release = cancelledBy(signal, call);
  try {
    yield* call;
  } catch (error) {
    throw errorOf(error);
  } finally {
    release();
    call.cancel();
  }
}

interface Sink extends Cancellable {
  write(message: unknown): boolean;
  end(): void;
  once(event: "drain", listener: () => void): unknown;
}

/** The requests of a stream on their way, as fast as the server takes them. */
class Sending {
  /** What the source failed with; the call is cancelled then. */
  failure: unknown;
  #stopped = false;
  #goOn = () => {};
  readonly #call: Sink;

  constructor(call: Sink) {
    this.#call = call;
  }

  async send(requests: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
    try {
      for await (const request of requests) {
        if (this.#stopped) {
          return;
        }
        if (!this.#call.write(request)) {
          await new Promise<void>((resolve) => {
            this.#goOn = resolve;
            this.#call.once("drain", resolve);
          });
        }
      }
      this.#call.end();
    } catch (error) {
      this.failure = error;
      this.#call.cancel();
    }
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#stopped = true;
    this.#goOn();
  }
}

function headers(options: CallOptions): Metadata {
  return options.metadata ?? new Metadata();
}

/**
 * With the id of a bid, so that a proxy in front of servers that do not share a ledger sends every
 * try of it to the same one. What the caller has set stays; an id that the service refuses is left to
 * the service.
 */
function pinned(metadata: Metadata, request: object): Metadata {
  const id = "bid" in request ? (request.bid as { requestId?: string } | undefined)?.requestId : undefined;
  if (id === undefined || !/^[A-Za-z0-9_.-]{1,64}$/.test(id) || metadata.get(PIN).length > 0) {
    return metadata;
  }
  const own = metadata.clone();
  own.set(PIN, id);
  return own;
}

function grpcOptions({ timeoutMs }: CallOptions): GrpcOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}
