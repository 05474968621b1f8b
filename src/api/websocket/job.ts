import type { WriteGrammar } from "../completion/answer-grammar.js";
import { planCompletion, type Requester } from "../completion/plan.js";
import { requireEngine, type ApiContext } from "../context.js";
import { isDebate } from "../fusion/debate.js";
import { planJudgement } from "../fusion/judge.js";
import type { Outcome } from "../metrics.js";
import { runSocketDebate } from "./debate.js";
import { runResponse, type SocketResponse } from "./response.js";
import { runVerdict } from "./verdict.js";

export type JobKind = "response" | "verdict";

/** What a frame asks for. */
export interface Asked {
  givenId: string | null;
  body: object;
  kind: JobKind;
}

/** What a frame asked for, understood. */
export interface Job {
  planId: string;
  model: string;
  run: (parts: Omit<SocketResponse, "plan">) => Promise<Outcome>;
}

/** @throws ShouldersError that names the field at fault */
export function planJob(
  context: ApiContext,
  { body, kind }: Asked,
  { requester, writeGrammar }: { requester: Requester; writeGrammar: WriteGrammar },
): Job {
  const options = {
    requester,
    description: requireEngine(context),
    keptTrace: context.keptTrace,
    replica: context.replica,
    writeGrammar,
    fieldName: (param: string) => `${kind}.${param}`,
  };
  if (kind === "verdict") {
    const plan = planJudgement(body, options);
    return {
      ...{ planId: plan.id, model: plan.model },
      run: (parts) =>
        isDebate(plan)
          ? runSocketDebate(context, { plan, ...parts })
          : runVerdict(context, { plan, ...parts }),
    };
  }
  const kindOfText = "messages" in body ? "chat" : "text";
  const plan = planCompletion(kindOfText, body, options);
  return {
    ...{ planId: plan.id, model: plan.model },
    run: (parts) => runResponse(context, { plan, ...parts }),
  };
}
