import { fitHead, likelihood, sum, type Example, type Head } from "./heads.js";

/** A head, and how well it told ratings apart that it had not seen. */
export interface ChosenHead {
  head: Head;
  /** Answers that were rated. */
  ratings: number;
  /** Share of pairs with different ratings that are ordered as rated; null: there was no such pair. */
  concordance: number | null;
}

/** Below so many rated answers nothing is fitted. */
export const fewestRatings = 40;
const numFolds = 5;

/**
 * The head that orders unseen answers best, by cross-validation with all parts of an answer in one fold. Of two that are
 * no further apart than the standard error over the folds the simpler one wins: likelihood, then the mean. So does
 * likelihood where there are few ratings or all are the same.
 */
export async function chooseHead(examples: readonly Example[]): Promise<ChosenHead> {
  const groups = [...new Set(examples.map(({ group }) => group))];
  const ratings = groups.length;
  const own = concordanceOf(
    examples,
    examples.map(({ bag }) => likelihood.predict(bag)),
  );
  let best: ChosenHead = { head: likelihood, ratings, concordance: shareOf([own]) };
  if (ratings < fewestRatings || best.concordance === null) return best;
  const foldOf = new Map(groups.map((group, index) => [group, index % numFolds]));
  const folds = Array.from({ length: numFolds }, (_, fold) => ({
    seen: examples.filter(({ group }) => foldOf.get(group) !== fold),
    unseen: examples.filter(({ group }) => foldOf.get(group) === fold),
  }));
  const within = (head: Head, unseen: readonly Example[]) =>
    concordanceOf(
      unseen,
      unseen.map(({ bag }) => head.predict(bag)),
    );
  let counts = folds.map(({ unseen }) => within(likelihood, unseen));
  best = { ...best, concordance: shareOf(counts) };
  for (const name of ["mean", "all"] as const) {
    const others: Counted[] = [];
    for (const { seen, unseen } of folds) others.push(within(await fitHead(name, seen), unseen));
    if (!isClearlyBetter(others, counts)) continue;
    counts = others;
    best = { head: await fitHead(name, examples), ratings, concordance: shareOf(counts) };
  }
  return best;
}

/** Whether the mean difference over the folds is more than its standard error. */
function isClearlyBetter(these: readonly Counted[], others: readonly Counted[]): boolean {
  const differences = these.flatMap((count, fold) => {
    const other = others[fold];
    return count.pairs === 0 || other === undefined ? [] : [(count.right - other.right) / count.pairs];
  });
  const mean = sum(differences) / differences.length;
  const squares = sum(differences.map((difference) => (difference - mean) ** 2));
  return mean > Math.sqrt(squares / (differences.length - 1) / differences.length);
}

interface Counted {
  right: number;
  pairs: number;
}

/** Pairs with different scores, and those that the predictions order alike; equal predictions are half right. */
export function concordanceOf(
  examples: readonly Pick<Example, "score">[],
  predicted: readonly number[],
): Counted {
  const counted = { right: 0, pairs: 0 };
  examples.forEach((a, i) => {
    for (let j = i + 1; j < examples.length; j++) {
      const order = Math.sign(a.score - (examples[j]?.score ?? 0));
      if (order === 0) continue;
      counted.pairs++;
      counted.right += (1 + order * Math.sign((predicted[i] ?? 0) - (predicted[j] ?? 0))) / 2;
    }
  });
  return counted;
}

function shareOf(counts: readonly Counted[]): number | null {
  const right = counts.reduce((total, count) => total + count.right, 0);
  const pairs = counts.reduce((total, count) => total + count.pairs, 0);
  return pairs === 0 ? null : right / pairs;
}
