import { EventEmitter, once } from "node:events";
import { ShouldersError } from "../../errors.js";
import type { GenerationEvent } from "../../protocol/protocol.js";
import type { ResponseBody, ResponseEvent } from "../../wire/response.js";
import type { ResponseItem } from "../../wire/response-item.js";
import type { KeptResponse } from "./response-store.js";

/** Responses of `background: true`: they run on, whoever listens. */

/** Writes a response as it comes. */
interface Writer {
  readonly now: ResponseBody;
  events(event: GenerationEvent): ResponseEvent[];
  failed(error: ShouldersError): ResponseEvent[];
  cancelled(): void;
}

interface RunOptions {
  owner: string;
  id: string;
  writer: Writer;
  /** What it answers. */
  input: ResponseItem[];
  /** Whether its events are kept, too: a client that lost its stream asks for the rest. */
  isStream: boolean;
  /** Its events, until the signal is aborted. */
  generate: (signal: AbortSignal) => AsyncIterable<GenerationEvent>;
  /** Told what there is of it: when it is accepted, and when it is over. */
  keep: (kept: KeptResponse) => void;
  /** Called when it is over. */
  release: () => void;
}

export class BackgroundRun {
  readonly owner: string;
  readonly id: string;
  /** Settles when the engine has taken it. @throws ShouldersError why it has not */
  readonly accepted: Promise<void>;
  /** Settles when it is over, well or not. */
  readonly over: Promise<void>;
  readonly #options: RunOptions;
  readonly #events: ResponseEvent[] = [];
  readonly #cancel = new AbortController();
  readonly #news = new EventEmitter();
  #isOver = false;
  #isForgotten = false;

  constructor(options: RunOptions) {
    this.owner = options.owner;
    this.id = options.id;
    this.#options = options;
    this.#news.setMaxListeners(0);
    const accepted = withResolvers();
    this.accepted = accepted.promise;
    this.over = this.#run(accepted).finally(() => {
      this.#isOver = true;
      options.release();
      this.#news.emit("news");
    });
  }

  get kept(): KeptResponse {
    const { writer, input, isStream } = this.#options;
    return { response: writer.now, input, ...(isStream && { events: this.#events }) };
  }

  /** Ends it; resolves when it has ended. */
  async cancel(): Promise<void> {
    this.#cancel.abort();
    await this.over;
  }

  /** Nothing is kept of it. */
  async forget(): Promise<void> {
    this.#isForgotten = true;
    await this.cancel();
  }

  /** Its events from the first that there was, until it is over. */
  async *follow(signal: AbortSignal): AsyncGenerator<ResponseEvent, void> {
    for (let at = 0; !signal.aborted;) {
      const event = this.#events[at];
      if (event !== undefined) {
        at++;
        yield event;
      } else if (this.#isOver) return;
      else await once(this.#news, "news", { signal }).catch(() => undefined);
    }
  }

  async #run({ resolve: accept, reject: refuse }: Resolvers): Promise<void> {
    const { writer, generate, keep } = this.#options;
    let isAccepted = false;
    try {
      let isWhole = false;
      for await (const event of generate(this.#cancel.signal)) {
        this.#push(writer.events(event));
        isWhole = event.type === "done";
        if (isAccepted) continue;
        isAccepted = true;
        keep(this.kept);
        accept();
      }
      accept();
      if (!isWhole) writer.cancelled();
    } catch (thrown) {
      if (!isAccepted) {
        refuse(thrown);
        return;
      }
      this.#push(writer.failed(ShouldersError.from(thrown)));
    }
    if (!this.#isForgotten) keep(this.kept);
  }

  #push(events: readonly ResponseEvent[]): void {
    this.#events.push(...events);
    this.#news.emit("news");
  }
}

interface Resolvers {
  promise: Promise<void>;
  resolve: () => void;
  reject: (why: unknown) => void;
}

/** Node 20 has none of its own. */
function withResolvers(): Resolvers {
  const resolvers: Partial<Resolvers> = {};
  const promise = new Promise<void>((resolve, reject) => Object.assign(resolvers, { resolve, reject }));
  return { ...(resolvers as Resolvers), promise };
}

/** Those of this server that are not over. */
export class BackgroundRuns {
  readonly #runs = new Map<string, BackgroundRun>();

  /** @throws ShouldersError `rate_limited`: so many of this owner run */
  admit(owner: string, most: number): void {
    const numOwn = [...this.#runs.values()].filter((run) => run.owner === owner).length;
    if (numOwn < most) return;
    const message = `${numOwn} responses of this key run in the background: wait for one to end.`;
    throw new ShouldersError("rate_limited", message, { retryAfterSeconds: 1 });
  }

  /** Resolves when the engine has taken it. @throws ShouldersError why it has not */
  async start(options: RunOptions): Promise<BackgroundRun> {
    const run = new BackgroundRun(options);
    this.#runs.set(run.id, run);
    void run.over.finally(() => this.#runs.delete(run.id));
    await run.accepted;
    return run;
  }

  /** Nobody sees another's. */
  get(id: string, owner: string): BackgroundRun | null {
    const run = this.#runs.get(id);
    return run?.owner === owner ? run : null;
  }

  /** Resolves when none is left. */
  async settled(): Promise<void> {
    while (this.#runs.size > 0) await Promise.all([...this.#runs.values()].map(({ over }) => over));
  }
}
