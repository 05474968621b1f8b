/** A tokenizer that takes the longest text that comes next: ids are places in the list. */
export function greedyTokens(texts: readonly string[]): (text: string) => number[] {
  const longest = [...texts].sort((a, b) => b.length - a.length);
  return (text) => {
    const tokens: number[] = [];
    for (let rest = text; rest !== "";) {
      const next = longest.find((one) => rest.startsWith(one))!;
      tokens.push(texts.indexOf(next));
      rest = rest.slice(next.length);
    }
    return tokens;
  };
}
