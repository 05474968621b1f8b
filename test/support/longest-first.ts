import { existsSync } from "node:fs";
import path from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take more than some 20 s, the longest first: begun last, one of them would run on alone at the end. */
const longest = [
  "api/cost",
  "rpc/rpc",
  "model/agreement",
  "model/eval",
  "api/neighbours",
  "model/child-lifetime",
  "model/pre-tokenizers",
  "real/real-models",
  "api/real-tool-forms",
  "model/scores",
  "model/vocabularies",
  "attack/files",
  "api/faults",
  "model/policies",
  "model/faults",
  "model/remote-base",
  "model/debate",
  "api/generated",
  "deploy/replicas",
  "model/family",
  "api/cli-calibrate",
  "browser/chat",
  "model/audit",
  "api/cli",
  "browser/page",
  "harness/lm-eval",
  "api/cli-init",
  "model/adapters",
  "attack/storm",
].map((name) => path.join(import.meta.dirname, "..", `${name}.test.ts`));

const lost = longest.filter((file) => !existsSync(file));
if (lost.length > 0) throw new Error(`test/support/longest-first.ts names what is not there: ${lost.join()}`);

/** Begins with the files that take longest, within each group of projects; the others follow as they always do. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const groupOf = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = longest.indexOf(path.normalize(moduleId));
      return place < 0 ? longest.length : place;
    };
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => groupOf(a) - groupOf(b) || placeOf(a) - placeOf(b));
  }
}
