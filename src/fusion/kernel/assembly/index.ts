/**
 * Numbers over rows of float32 in linear memory. Every pointer is 16-byte aligned; every row is padded to a
 * multiple of 16 logits with masked tokens (`length` counts the padding). Masked tokens have −Infinity in the
 * base's row and a finite logit, far below the others, in the rest. Results go to `out` as float64.
 */
export * from "./axis";
export * from "./fuse";
export * from "./mixture";
export * from "./rows";

export function heapBase(): usize {
  return (__heap_base + 15) & ~15;
}
