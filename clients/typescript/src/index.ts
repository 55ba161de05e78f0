/**
 * Speaks to a smart connectors server: typed stubs over gRPC, retries and load balancing, errors
 * with their reasons, exact money.
 */
export { connect, newRequestId, SERVICE_CONFIG, type Connection, type ConnectOptions, type Tls } from "./connect.js";
export { BudgetExceeded, errorOfBid, ServiceError, type Reason, type Violation } from "./errors.js";
export { formatAmount, MICROS_PER_UNIT, parseAmount } from "./money.js";
export { PIN, type CallOptions, type Stub } from "./service.js";
export * from "./gen/smartconnectors/common/v1/bid_pb.js";
export * from "./gen/smartconnectors/common/v1/budget_pb.js";
export * from "./gen/smartconnectors/common/v1/campaign_pb.js";
export * from "./gen/smartconnectors/common/v1/connector_pb.js";
export * from "./gen/smartconnectors/common/v1/errors_pb.js";
