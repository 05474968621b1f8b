import { expect, it } from "vitest";
import { fieldError, ShouldersError, withFieldNames } from "../../src/errors.js";

it("a field error is a field and a reason, and a sentence only where it is told", () => {
  const error = fieldError("messages.0.content", "expected text");
  expect(error).toMatchObject({
    code: "invalid_request",
    param: "messages.0.content",
    reason: "expected text",
  });
  expect(error.message).toBe("Invalid 'messages.0.content': expected text.");
  expect(fieldError("", "expected an object").message).toBe("Invalid request: expected an object.");
  expect(fieldError("", "expected an object").param).toBeNull();
  expect(fieldError("modle", "did you mean model?").message).toBe("Invalid 'modle': did you mean model?");
});

it("a path that a client made up is cut", () => {
  const error = fieldError("x".repeat(1000), "no such field");
  expect(error.param).toHaveLength(200);
  expect(error.message).toHaveLength("Invalid '': no such field.".length + 200);
});

it("readdressed, its sentence names the other field; a sentence of its own stays as it is", () => {
  const field = fieldError("grammar", "leave out tools", "unsupported_field").at("text.format");
  expect(field).toMatchObject({ code: "unsupported_field", param: "text.format" });
  expect(field.message).toBe("Invalid 'text.format': leave out tools.");
  const cause = new Error("inside");
  const sentence = new ShouldersError("queue_full", "Wait.", {
    param: "messages",
    cause,
    retryAfterSeconds: 7,
  });
  expect(sentence.at("input")).toMatchObject({
    message: "Wait.",
    param: "input",
    cause,
    retryAfterSeconds: 7,
  });
});

it("what crosses the pipe is the field and the reason", () => {
  const field = fieldError("grammar", "no rule is named root");
  expect(field.toData()).toEqual({
    code: "invalid_request",
    param: "grammar",
    reason: "no rule is named root",
  });
  expect(ShouldersError.fromData(field.toData()).at("tools").message).toBe(
    "Invalid 'tools': no rule is named root.",
  );
  const sentence = new ShouldersError("decode_failed", "Decoding failed.");
  expect(ShouldersError.fromData(sentence.toData())).toMatchObject(sentence.toData());
});

it("fields are renamed on the way out, and only fields", () => {
  const run = (thrown: Error) => () =>
    withFieldNames(
      (param) => `response.${param}`,
      () => {
        throw thrown;
      },
    );
  expect(run(fieldError("n", "expected a number"))).toThrow("Invalid 'response.n': expected a number.");
  const busy = new ShouldersError("queue_full", "Wait.");
  expect(run(busy)).toThrow(busy);
  const bug = new TypeError("x is not a function");
  expect(run(bug)).toThrow(bug);
  expect(withFieldNames(String, () => 3)).toBe(3);
});
