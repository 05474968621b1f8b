import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, describe, expect, it } from "vitest";

import { resolveModel } from "../../../src/llama/resolve-model.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const directory = temporaryDirectory();
const options = {
  relativeTo: directory.path,
  downloadDirectory: directory.path,
  onProgress: () => undefined,
};
writeFileSync(directory.file("here.gguf"), "GGUF");

afterAll(() => {
  directory.remove();
});

describe("a model source", () => {
  it("is a path: relative to its config, or absolute", async () => {
    expect(await resolveModel("here.gguf", options)).toBe(directory.file("here.gguf"));
    expect(await resolveModel("./here.gguf", options)).toBe(directory.file("here.gguf"));
    expect(await resolveModel(directory.file("here.gguf"), options)).toBe(directory.file("here.gguf"));
    await expect(resolveModel("gone.gguf", options)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringContaining(directory.file("gone.gguf")) as string,
    });
  });

  it("begins at the home folder after ~", async () => {
    const { HOME } = process.env;
    process.env.HOME = directory.path;
    try {
      expect(await resolveModel("~/here.gguf", { ...options, relativeTo: "/" })).toBe(
        directory.file("here.gguf"),
      );
    } finally {
      process.env.HOME = HOME;
    }
  });

  it.each([
    ["heer.gguf", "Did you mean here.gguf?"],
    ["HERE.GGUF", "Did you mean here.gguf?"],
    ["here", "Did you mean here.gguf?"],
    ["something-else.gguf", "There are here.gguf."],
    ["none/here.gguf", "There is no folder"],
  ])("that is wrong is answered with what is near: %s", async (source, hint) => {
    await expect(resolveModel(source, options)).rejects.toThrow(hint);
  });

  it("is a URI whose file has been downloaded before", async () => {
    writeFileSync(directory.file("hf_someone_models_here.gguf"), "GGUF");
    expect(await resolveModel("hf:someone/models/here.gguf", options)).toMatch(
      /hf_someone_models_here\.gguf$/,
    );
  });

  it.each([
    "hf:someone/nothing/model.gguf",
    "hf:someone/nothing:Q4_K_M",
    "hf:",
    "https://127.0.0.1:9/model.gguf",
  ])(
    "that cannot be had is refused with its URI and the reason (%s)",
    async (uri) => {
      const error = await resolveModel(uri, options).then(
        () => null,
        (reason: unknown) => reason as { code: string; message: string },
      );
      expect(error).toMatchObject({ code: "model_file_invalid" });
      expect(error?.message).toContain(uri);
    },
    30_000,
  );

  it("that is not valid is not asked for", async () => {
    await expect(resolveModel("hf:", options)).rejects.toThrow(/Invalid Hugging Face URI/);
  });

  it("is downloaded with its progress", async () => {
    const body = Buffer.alloc(300_000, 7);
    const server = createServer((_request, response) => {
      response.writeHead(200, { "content-length": body.length, "content-type": "application/octet-stream" });
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const fractions: number[] = [];
    const path = await resolveModel(`http://127.0.0.1:${port}/tiny.gguf`, {
      ...options,
      onProgress: (fraction) => fractions.push(fraction),
    });
    expect(path.startsWith(directory.path)).toBe(true);
    expect(fractions.at(-1)).toBe(1);
    server.closeAllConnections();
    server.close();
  });
});
