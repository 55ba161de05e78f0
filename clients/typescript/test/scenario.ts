/**
 * Plays tests/conformance/clients: does the steps in the file that it is given, and prints what the
 * client says of each.
 */
import { readFileSync } from "node:fs";

import type { BidAnswer } from "../src/gen/smartconnectors/google_ads/v1/google_ads_service_pb.js";
import {
  BidSource, BidStatus, BudgetExceeded, connect, errorOfBid, formatAmount, parseAmount, ServiceError,
  type BidResponse, type Connection, type ConnectOptions,
} from "../src/index.js";

type Bid = [requestId: string, campaign: string, amount: string, ltv: string];

interface How {
  target: string;
  tls: boolean;
  ca_file: string;
  token: string;
  retries: boolean;
}

interface Step {
  name: string;
  on: string;
  call: keyof typeof CALLS;
  platform: "google_ads" | "meta" | "trade_desk";
  bid: Bid;
  bids: Bid[];
  budget: string;
  until_committed: string;
  fits_within_s: number;
}

interface Scenario {
  connections: Record<string, How>;
  steps: Step[];
}

const STUBS = { google_ads: "googleAds", meta: "meta", trade_desk: "tradeDesk" } as const;
const CALLS = { place, watch, stream, batch, budget };

function optionsOf(how: How): ConnectOptions {
  return {
    retries: how.retries,
    ...(how.tls ? { tls: how.ca_file === "" ? {} : { ca: readFileSync(how.ca_file) } } : {}),
    ...(how.token === "" ? {} : { token: how.token }),
  };
}

function requestOf([requestId, campaignId, amount, ltv]: Bid) {
  const amounts = { bidMicros: parseAmount(amount), predictedLtvMicros: parseAmount(ltv) };
  return { bid: { requestId, campaignId, ...amounts } };
}

async function place(connection: Connection, step: Step): Promise<string[]> {
  try {
    const answer = await connection[STUBS[step.platform]].placeBid(requestOf(step.bid), { timeoutMs: 10_000 });
    return [ofResult(answer.result)];
  } catch (error) {
    return [ofRefusal(error), ...ofNumbers(error, step.fits_within_s)];
  }
}

async function watch(connection: Connection, step: Step): Promise<string[]> {
  const lines: string[] = [];
  for await (const { stats } of connection.budgets.watchBudgetStats({ budgetIds: [step.budget] })) {
    const committed = formatAmount(stats?.committedMicros ?? 0n);
    if (lines.length === 0) {
      lines.push(`committed ${committed}`, ...(await place(connection, step)));
    }
    if (committed === step.until_committed) {
      return [...lines, `committed ${committed}`];
    }
  }
  return lines;
}

async function stream(connection: Connection, step: Step): Promise<string[]> {
  const said = new Map<string, string>();
  const requests = step.bids.map((bid) => ({ bid: requestOf(bid) }));
  for await (const { answer } of connection.googleAds.streamBids(requests, { timeoutMs: 30_000 })) {
    said.set(answer?.requestId ?? "", ofAnswer(answer));
  }
  return step.bids.map(([id]) => `${id} ${said.get(id)}`);
}

async function batch(connection: Connection, step: Step): Promise<string[]> {
  const bids = step.bids.map(requestOf);
  const { answers } = await connection.googleAds.placeBids({ bids }, { timeoutMs: 30_000 });
  return answers.map((answer) => `${answer.requestId} ${ofAnswer(answer)}`);
}

async function budget(connection: Connection, step: Step): Promise<string[]> {
  const { stats } = await connection.budgets.getBudgetStats({ budgetId: step.budget });
  if (stats === undefined) {
    return [];
  }
  return [
    `committed ${formatAmount(stats.committedMicros)} of ${formatAmount(stats.limitMicros)} ` +
      `${stats.currencyCode}, deferred ${formatAmount(stats.deferredMicros)}, ` +
      `remaining ${formatAmount(stats.remainingMicros)}`,
  ];
}

function ofAnswer(answer: BidAnswer | undefined): string {
  return answer?.answer.case === "error"
    ? ofRefusal(errorOfBid(answer.answer.value))
    : ofResult(answer?.answer.value?.result);
}

function ofResult(result: BidResponse | undefined): string {
  if (result === undefined) {
    return "no result";
  }
  const source = BidSource[result.source]?.toLowerCase();
  const amount = `${formatAmount(result.bidMicros)} ${result.currencyCode}`;
  return `${BidStatus[result.status]} source=${source} ${amount}${result.replayed ? ", replayed" : ""}`;
}

function ofRefusal(error: unknown): string {
  if (!(error instanceof ServiceError)) {
    throw error;
  }
  return `refused: ${error.reason || "not reached"}`;
}

function ofNumbers(error: unknown, fitsWithinS: number): string[] {
  if (!(error instanceof BudgetExceeded)) {
    return error instanceof ServiceError ? error.violations.map(({ field }) => `wrong: ${field}`) : [];
  }
  const [amount, limit, committed, held, deferred, inDoubt, remaining] = [
    error.amount, error.limit, error.committed, error.held, error.deferred, error.inDoubt, error.remaining,
  ].map(formatAmount);
  const numbers =
    `${amount} ${error.currency} for ${error.budgetId}: limit ${limit}, committed ${committed}, ` +
    `held ${held}, deferred ${deferred}, in doubt ${inDoubt}, remaining ${remaining}`;
  const retryMs = error.retryAfterMs;
  if (retryMs === undefined) {
    return [numbers, "no time is known"];
  }
  const fits = retryMs > 0 && retryMs <= fitsWithinS * 1000;
  return [numbers, fits ? `fits within ${fitsWithinS} s` : `fits in ${retryMs} ms`];
}

const scenario: Scenario = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
for (const step of scenario.steps) {
  const how = scenario.connections[step.on];
  if (how === undefined) {
    throw new Error(`there is no connection ${step.on}`);
  }
  const connection = connect(how.target, optionsOf(how));
  for (const line of await CALLS[step.call](connection, step)) {
    console.log(`${step.name}: ${line}`);
  }
  connection.close();
}
