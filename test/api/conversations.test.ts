import OpenAI from "openai";
import { expect, it } from "vitest";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { startTestServer, type TestServer } from "../support/server.js";

/** Conversations, by the official SDK. */

const clientOf = ({ url }: TestServer, apiKey = "unused") =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const said = (content: string) => ({ type: "message" as const, role: "user" as const, content });

it("is made, told, noted down and deleted", async () => {
  const { conversations } = clientOf(await startTestServer());
  const made = await conversations.create({ metadata: { a: "b" }, items: [said("one")] });
  expect(made).toMatchObject({ object: "conversation", metadata: { a: "b" } });
  expect(await conversations.retrieve(made.id)).toEqual(made);
  const updated = await conversations.update(made.id, { metadata: { c: "d" } });
  expect(updated).toEqual({ ...made, metadata: { c: "d" } });
  expect(await conversations.delete(made.id)).toEqual({
    id: made.id,
    object: "conversation.deleted",
    deleted: true,
  });
  await expect(conversations.retrieve(made.id)).rejects.toMatchObject({
    status: 404,
    code: "conversation_not_found",
  });
  await expect(conversations.items.list(made.id)).rejects.toMatchObject({ status: 404 });
  expect((await conversations.create()).metadata).toEqual({});
});

it("has items that are added, listed by pages, read and dropped", async () => {
  const { conversations } = clientOf(await startTestServer());
  const { id } = await conversations.create({ items: [said("one")] });
  const added = await conversations.items.create(id, { items: [said("two"), said("three")] });
  expect(added.data).toMatchObject([{ content: [{ text: "two" }] }, { content: [{ text: "three" }] }]);
  const texts: string[] = [];
  for await (const item of conversations.items.list(id, { order: "asc", limit: 2 }))
    texts.push(JSON.stringify((item as { content?: object }).content));
  expect(texts.map((text) => /one|two|three/.exec(text)?.[0])).toEqual(["one", "two", "three"]);
  const two = (added.data[0] as { id: string }).id;
  expect(await conversations.items.retrieve(two, { conversation_id: id })).toEqual(added.data[0]);
  expect((await conversations.items.delete(two, { conversation_id: id })).id).toBe(id);
  await expect(conversations.items.retrieve(two, { conversation_id: id })).rejects.toMatchObject({
    status: 404,
  });
  await expect(conversations.items.delete(two, { conversation_id: id })).rejects.toMatchObject({
    status: 404,
  });
  expect((await conversations.items.list(id)).data).toHaveLength(2);
});

it("responses go on with it, whole, streamed and in the background", async () => {
  const server = await startTestServer();
  const { conversations, responses } = clientOf(server);
  const { id } = await conversations.create({ items: [said("one")] });
  const first = await responses.create({ model: "both", input: "two", conversation: id });
  expect(first.conversation).toEqual({ id });
  await responses
    .stream({ model: "both", input: "three", conversation: { id }, store: false })
    .finalResponse();
  const last = await responses.create({ model: "both", input: "four", conversation: id, background: true });
  while ((await responses.retrieve(last.id)).status !== "completed");
  const prompt = server.engine.submitted.at(-1)?.prompt;
  expect(prompt?.type === "chat" && prompt.messages.map(({ content }) => content)).toEqual([
    "one",
    "two",
    "Hello world",
    "three",
    "Hello world",
    "four",
  ]);
  expect((await conversations.items.list(id, { limit: 100 })).data).toHaveLength(7);
  const both = { conversation: id, previous_response_id: first.id };
  await expect(responses.create({ model: "both", input: "x", ...both })).rejects.toThrow(/or conversation/);
});

it("nobody sees another's, and an operator may have none kept", async () => {
  const keys = parseApiKeys("ann=0123456789abcdef,bob=fedcba9876543210", "test");
  const server = await startTestServer({ access: { keys } });
  const [ann, bob] = [clientOf(server, "0123456789abcdef"), clientOf(server, "fedcba9876543210")];
  const { id } = await ann.conversations.create({ items: [said("one")] });
  await expect(bob.conversations.retrieve(id)).rejects.toMatchObject({ status: 404 });
  await expect(bob.conversations.delete(id)).rejects.toMatchObject({ status: 404 });
  await expect(bob.conversations.items.list(id)).rejects.toMatchObject({ status: 404 });
  await expect(bob.responses.create({ model: "both", input: "x", conversation: id })).rejects.toMatchObject({
    status: 400,
    param: "conversation",
  });
  expect((await ann.conversations.retrieve(id)).id).toBe(id);
  const none = clientOf(await startTestServer({ responseAgeMs: 0 }));
  await expect(none.conversations.create()).rejects.toThrow(/keeps no conversations/);
});

it("is added to until it is full, and again after some of it is deleted", async () => {
  const client = clientOf(await startTestServer({ bodyBytes: 2 * 1024 * 1024 }));
  const { conversations, responses } = client;
  const long = said("long ".repeat(300_000));
  const { id } = await conversations.create({ items: [long] });
  for (let time = 0; time < 2; time++) await conversations.items.create(id, { items: [long] });
  const full = { status: 400, message: expect.stringMatching(/it is full: begin another/) as string };
  await expect(conversations.items.create(id, { items: [said("more")] })).rejects.toMatchObject(full);
  const request = { model: "both", conversation: id, input: "and now?" };
  await expect(responses.create(request)).rejects.toMatchObject(full);
  const [newest] = (await conversations.items.list(id, { limit: 1 })).data;
  await conversations.items.delete(newest!.id!, { conversation_id: id });
  expect((await conversations.items.create(id, { items: [said("more")] })).data).toHaveLength(1);
});
