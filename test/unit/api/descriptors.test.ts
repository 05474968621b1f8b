import { expect, it } from "vitest";
import { fitConnections, readOpenFiles } from "../../../src/api/access/descriptors.js";

it("the soft limit of open files is read as Linux writes it", () => {
  const limits = "Limit                     Soft Limit           Hard Limit           Units     \n";
  const line = (soft: string) =>
    `${limits}Max open files            ${soft}                 524288               files     \n`;
  expect(readOpenFiles(line("1024"))).toBe(1024);
  expect(readOpenFiles(line("unlimited"))).toBe(Infinity);
  expect(readOpenFiles(limits)).toBeNull();
});

it("no more connections than wanted, nor than files may be opened", () => {
  expect(fitConnections(16).connections).toBe(16);
  const { connections, openFiles } = fitConnections(Infinity);
  expect(connections).toBeLessThan(openFiles);
});
