import { type ErrorCode, ShouldersError } from "../errors.js";

/** 2: what was written is at fault (flags, settings, configs); 1: everything else. */
export function exitCodeFor(error: unknown): number {
  if (!(error instanceof ShouldersError)) return 1;
  const written: ErrorCode[] = [
    "settings_invalid",
    "fusion_config_invalid",
    "evaluation_invalid",
    "calibration_invalid",
  ];
  return written.includes(error.code) ? 2 : 1;
}

/** One clear line (one per problem where there are several); the stack only for somebody who debugs. */
export function describeFailure(error: unknown, withStack: boolean): string {
  const message = error instanceof Error ? error.message : String(error);
  const lines = message.split("\n").map((line) => `shoulders: ${line}\n`);
  const stack = withStack && error instanceof Error ? `${error.stack ?? ""}\n` : "";
  const cause =
    withStack && error instanceof Error && error.cause instanceof Error ? `${error.cause.stack ?? ""}\n` : "";
  return lines.join("") + stack + cause;
}

/** Whether the log level asked for is one that shows stacks: read plainly, because settings may be what failed. */
export function asksForStack(
  args: readonly string[],
  environment: Record<string, string | undefined>,
): boolean {
  const flag = args.indexOf("--log-level");
  const joined = args.find((arg) => arg.startsWith("--log-level="))?.split("=")[1];
  const level = (flag < 0 ? joined : args[flag + 1]) ?? environment.SHOULDERS_LOG_LEVEL;
  return level === "debug" || level === "trace";
}
