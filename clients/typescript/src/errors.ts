import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { anyUnpack, type Duration } from "@bufbuild/protobuf/wkt";
import { status as Code, type Metadata } from "@grpc/grpc-js";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema, type Status } from "./gen/google/rpc/status_pb.js";
import type { BidError } from "./gen/smartconnectors/common/v1/connector_pb.js";
import { ErrorReason } from "./gen/smartconnectors/common/v1/errors_pb.js";

const DOMAIN = "smartconnectors";
const STATUS_DETAILS = "grpc-status-details-bin";

/** One field of the request that is wrong. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** The names of the reasons, as in `ErrorReason`, and those that are younger than this client. */
export type Reason = keyof typeof ErrorReason | (string & {});

/** What a failed call says. */
interface Said {
  readonly code: Code;
  readonly message: string;
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly Violation[];
}

/** A call that failed, or one bid of a batch or stream that was refused. */
export class ServiceError extends Error {
  override readonly name: string = "ServiceError";
  /** The gRPC status code. Decide by `reason` instead: gRPC emits some codes itself. */
  readonly code: Code;
  /**
   * Why, as in `ErrorReason`: `"BUDGET_EXCEEDED"`. Empty when the service itself did not answer:
   * nothing listens there, or the deadline passed.
   */
  readonly reason: Reason;
  /** The numbers, as text. */
  readonly metadata: Readonly<Record<string, string>>;
  /** When trying again can help, from now. Undefined: the service gave no time. */
  readonly retryAfterMs: number | undefined;
  /** The fields that are wrong. */
  readonly violations: readonly Violation[];

  constructor(said: Said, options?: ErrorOptions) {
    super(said.message, options);
    this.code = said.code;
    this.reason = said.reason;
    this.metadata = said.metadata;
    this.retryAfterMs = said.retryAfterMs;
    this.violations = said.violations;
  }

  /**
   * Whether the same request, with the same request id, may be sent again to the same server, at
   * once or after `retryAfterMs`, without ever being carried out twice.
   */
  get mayRetry(): boolean {
    return (
      this.code === Code.UNAVAILABLE ||
      this.reason === "OUTCOME_UNKNOWN" ||
      this.reason === "REQUEST_IN_PROGRESS"
    );
  }
}

/** An amount that does not fit a budget now. The numbers are micros of `currency`. */
export class BudgetExceeded extends ServiceError {
  override readonly name = "BudgetExceeded";

  /** The tightest budget that the amount does not fit. */
  get budgetId(): string {
    return this.metadata["budget_id"] ?? "";
  }

  /** ISO 4217. */
  get currency(): string {
    return this.metadata["currency_code"] ?? "";
  }

  /** What was asked for. */
  get amount(): bigint {
    return this.#micros("amount");
  }

  /** The most that one window may have. */
  get limit(): bigint {
    return this.#micros("limit");
  }

  /** What the platforms accepted inside the window. */
  get committed(): bigint {
    return this.#micros("committed");
  }

  /** Reserved for calls that are under way. */
  get held(): bigint {
    return this.#micros("held");
  }

  /** Reserved for bids that wait for the circuit breaker. */
  get deferred(): bigint {
    return this.#micros("deferred");
  }

  /** Sent, with an outcome that is not known yet. */
  get inDoubt(): bigint {
    return this.#micros("in_doubt");
  }

  /** What still fits. */
  get remaining(): bigint {
    return this.#micros("remaining");
  }

  #micros(name: string): bigint {
    return BigInt(this.metadata[`${name}_micros`] ?? "0");
  }
}

/** What grpc-js fails with; an error of another kind is none of a call's. */
interface CallError extends Error {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

/** What a failed call says, read from its status details. Anything else is returned as it is. */
export function errorOf(error: unknown): unknown {
  if (!isCallError(error)) {
    return error;
  }
  let info = { reason: "", metadata: {} as Record<string, string> };
  let retryAfterMs: number | undefined;
  const violations: Violation[] = [];
  const status = statusOf(error.metadata);
  for (const detail of status?.details ?? []) {
    const found = unpacked(ErrorInfoSchema, detail);
    const retry = unpacked(RetryInfoSchema, detail);
    const bad = unpacked(BadRequestSchema, detail);
    if (found?.domain === DOMAIN) {
      info = found;
    } else if (retry?.retryDelay !== undefined) {
      retryAfterMs = milliseconds(retry.retryDelay);
    } else if (bad !== undefined) {
      violations.push(...bad.fieldViolations.map(plain));
    }
  }
  const { code, details: message } = error;
  const { reason, metadata } = info;
  return made({ code, message, reason, metadata, retryAfterMs, violations }, { cause: error });
}

/** Why one bid of a batch or stream was refused. */
export function errorOfBid(refused: BidError): ServiceError {
  const { code, message, metadata, retryAfter } = refused;
  return made({
    code,
    message,
    metadata,
    reason: ErrorReason[refused.reason] ?? "",
    retryAfterMs: retryAfter === undefined ? undefined : milliseconds(retryAfter),
    violations: refused.violations.map(plain),
  });
}

function made(said: Said, options?: ErrorOptions): ServiceError {
  const kind = said.reason === "BUDGET_EXCEEDED" ? BudgetExceeded : ServiceError;
  return new kind(said, options);
}

function plain({ field, description }: Violation): Violation {
  return { field, description };
}

function isCallError(error: unknown): error is CallError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

function statusOf(metadata: Metadata | undefined): Status | undefined {
  const [raw] = metadata?.get(STATUS_DETAILS) ?? [];
  try {
    return raw instanceof Uint8Array ? fromBinary(StatusSchema, raw) : undefined;
  } catch {
    return undefined; // a proxy's or another service's own idea of details
  }
}

function unpacked<M extends DescMessage>(
  schema: M,
  detail: Status["details"][number],
): MessageShape<M> | undefined {
  try {
    return anyUnpack(detail, schema);
  } catch {
    return undefined; // a detail that is malformed says nothing
  }
}

function milliseconds(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
