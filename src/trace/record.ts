/** What a step leaves behind for one token: the shape of API answers, traces and WebSocket events alike. */

export interface TokenText {
  id: number;
  /** The token's own bytes as UTF-8; a part of a character shows as U+FFFD. */
  text: string;
}

export interface TokenCandidate extends TokenText {
  /** Nats. */
  logprob: number;
}

export interface DivergenceRecord {
  /** KL(P̃‖P) and KL(P‖P̃), nats. */
  forward: number;
  reverse: number;
  /** Per expert id: KL(Q_t‖Q) and KL(Q‖Q_t), nats. */
  targets: Record<string, { forward: number; reverse: number }>;
}

export interface StepTiming {
  /** Milliseconds that each model's decode took in the step that produced this token; keys: `base`, `reference`, expert ids. */
  decodeMs: Record<string, number>;
  fuseMs: number;
  sampleMs: number;
}

/** The top ten of every model at one token (`trace: "full"`). */
export interface TopRecord {
  base: TokenCandidate[];
  reference: TokenCandidate[];
  experts: Record<string, TokenCandidate[]>;
  fused: TokenCandidate[];
}

/** The axis of one expert, all other weights 0, at evenly spaced weights (`trace: "full"`). */
export interface CurveRecord {
  alphas: number[];
  /** KL(P̃‖P) and KL(P‖P̃) at each of them, nats. */
  forward: number[];
  reverse: number[];
  /** J at each of them, nats². */
  objective: number[];
}

export interface TokenRecord {
  /** Index of the token in the sequence as the base model sees it, its prompt included. */
  position: number;
  /** `bytes` is there where the token is not whole characters. */
  token: TokenText & { bytes?: number[] };
  /** Log-probability in the fused distribution, before temperature and truncation, nats. */
  logprob: number;
  /** Expert id to weight, of the experts that ran; empty for the base alone. */
  weights: Record<string, number>;
  /** A mixture's shares before this token: `base` and every expert's, skipped ones included; they add up to 1. */
  shares?: Record<string, number>;
  /** The expert that moved the row most (in a mixture: with the largest share × KL(P̃_c‖P)); null when none did. */
  chosen: string | null;
  divergence: DivergenceRecord;
  objective: number;
  evaluations: number;
  baseToken: TokenCandidate;
  /** The fused argmax differs from the base's. */
  flipped: boolean;
  timing: StepTiming;
  top?: TopRecord;
  /** The axis of each expert, by its id. */
  curves?: Record<string, CurveRecord>;
}

export const traceLevels = ["off", "weights", "full"] as const;
export type TraceLevel = (typeof traceLevels)[number];
