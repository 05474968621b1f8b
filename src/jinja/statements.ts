import { bindMacro, rendered, unpack, write, type Parameter, type Target } from "./carry-out.js";
import { ExpressionParser } from "./expressions.js";
import type { Token } from "./lexer.js";
import { loopOver } from "./loop.js";
import type { Expression, Scope, Statement } from "./scope.js";
import { TokenStream } from "./token-stream.js";
import { isTrue, itemsOf, Namespace, typeName, type Callable, type Value } from "./values.js";

/** Reads tags into functions that carry them out. */
export class StatementParser {
  readonly #tokens: TokenStream;
  readonly #expressions: ExpressionParser;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = new TokenStream(tokens);
    this.#expressions = new ExpressionParser(this.#tokens);
  }

  /** @throws SyntaxError that says in which line */
  template(): Statement {
    const body = this.#body();
    if (this.#tokens.current.type !== "end") throw this.#tokens.fault("expected the end");
    return body;
  }

  /** Up to one of these tags, whose name is taken. */
  #body(...ends: readonly string[]): Statement {
    if (++this.#depth > 200) throw this.#tokens.fault("tags are nested too deep");
    const statements: Statement[] = [];
    for (;;) {
      const { type, value } = this.#tokens.current;
      if (type === "end") {
        if (ends.length > 0) throw this.#tokens.fault(`expected ${ends.join(" or ")}`);
        break;
      }
      if (type === "blockBegin" && ends.includes(this.#tokens.next.value)) {
        this.#tokens.take();
        break;
      }
      this.#tokens.take();
      if (type === "data") statements.push((_, out) => void out.push(value));
      else if (type === "variableBegin") statements.push(this.#printed());
      else if (type === "blockBegin") statements.push(this.#tag());
      else throw this.#tokens.fault("unexpected tag");
    }
    this.#depth--;
    return (scope, out) => {
      for (const statement of statements) {
        scope.budget.spend(1);
        const signal = statement(scope, out);
        if (signal) return signal;
      }
      return undefined;
    };
  }

  #printed(): Statement {
    const value = this.#expressions.tuple();
    this.#tokens.expectType("variableEnd");
    return write(value);
  }

  #tag(): Statement {
    const name = this.#tokens.expectType("name");
    switch (name) {
      case "if":
        return this.#if();
      case "for":
        return this.#for();
      case "set":
        return this.#set();
      case "macro":
        return this.#macro();
      case "call":
        return this.#callBlock();
      case "filter":
        return this.#filterBlock();
      case "with":
        return this.#with();
      case "generation":
        return this.#plainBlock("endgeneration");
      case "autoescape":
        this.#expressions.expression();
        return this.#plainBlock("endautoescape");
      case "break":
      case "continue":
        this.#tokens.expectType("blockEnd");
        return () => name;
      case "print": {
        const value = this.#expressions.tuple();
        this.#tokens.expectType("blockEnd");
        return write(value);
      }
      default:
        throw this.#tokens.fault(`unknown tag '${name}'`);
    }
  }

  #block(...ends: readonly string[]): Statement {
    this.#tokens.expectType("blockEnd");
    return this.#body(...ends);
  }

  #plainBlock(end: string): Statement {
    const body = this.#block(end);
    this.#end();
    return body;
  }

  /** The name of the tag that ended a body, and its end. */
  #end(): void {
    this.#tokens.expectType("name");
    this.#tokens.expectType("blockEnd");
  }

  #if(): Statement {
    const condition = this.#expressions.tuple({ hasConditions: false });
    const then = this.#block("elif", "else", "endif");
    const tag = this.#tokens.expectType("name");
    let otherwise: Statement = () => undefined;
    if (tag === "elif") otherwise = this.#if();
    else if (tag === "else") {
      otherwise = this.#plainBlock("endif");
    } else this.#tokens.expectType("blockEnd");
    return (scope, out) => (isTrue(condition(scope)) ? then(scope, out) : otherwise(scope, out));
  }

  #for(): Statement {
    const target = this.#target("in", false);
    this.#tokens.expect("in");
    const iterable = this.#expressions.tuple({ hasConditions: false, end: "recursive" });
    const condition = this.#tokens.skip("if") ? this.#expressions.expression() : null;
    const isRecursive = this.#tokens.skip("recursive");
    const around = this.#expressions.readNames;
    this.#expressions.readNames = new Set();
    const body = this.#block("else", "endfor");
    const asksLoop = isRecursive || this.#expressions.readNames.has("loop");
    this.#expressions.readNames = new Set([...around, ...this.#expressions.readNames]);
    const otherwise = this.#tokens.isName("else") ? (this.#tokens.take(), this.#block("endfor")) : null;
    this.#end();
    const run = (scope: Scope, out: string[], given: Value, depth: number): ReturnType<Statement> => {
      const items = condition
        ? itemsOf(given).filter((item) => {
            const inner = scope.inner();
            target(inner, item);
            return isTrue(condition(inner));
          })
        : itemsOf(given);
      const recur: Callable = ({ positional: [value] }) => {
        const part: string[] = [];
        run(scope, part, value, depth + 1);
        return part.join("");
      };
      const loop = loopOver(items, depth, isRecursive ? recur : null);
      for (const [index, item] of items.entries()) {
        scope.budget.spend(1);
        const inner = scope.inner();
        if (asksLoop) inner.set("loop", loop.at(index));
        target(inner, item);
        if (body(inner, out) === "break") return undefined;
      }
      if (items.length === 0) otherwise?.(scope, out);
      return undefined;
    };
    return (scope, out) => run(scope, out, iterable(scope), 0);
  }

  #set(): Statement {
    const target = this.#target("=", true);
    if (this.#tokens.skip("=")) {
      const value = this.#expressions.tuple();
      this.#tokens.expectType("blockEnd");
      return (scope) => {
        target(scope, value(scope));
        return undefined;
      };
    }
    let captured: Value = "";
    let value: Expression = () => captured;
    while (this.#tokens.skip("|")) value = this.#expressions.filter(value);
    const body = this.#plainBlock("endset");
    return (scope) => {
      captured = rendered(body, scope.inner());
      target(scope, value(scope));
      return undefined;
    };
  }

  #target(end: string, takesFields: boolean): Target {
    const targets: Target[] = [];
    let isTuple = false;
    do {
      if (this.#tokens.isName(end) || this.#tokens.isOperator(end)) break;
      targets.push(this.#oneTarget(takesFields));
      if (this.#tokens.isOperator(",")) isTuple = true;
    } while (this.#tokens.skip(","));
    const [first] = targets;
    if (!isTuple && first) return first;
    return unpack(targets);
  }

  #oneTarget(takesFields: boolean): Target {
    if (this.#tokens.skip("(")) {
      const inner = this.#target(")", takesFields);
      this.#tokens.expect(")");
      return inner;
    }
    const name = this.#tokens.expectType("name");
    if (!takesFields || !this.#tokens.skip(".")) return (scope, value) => scope.set(name, value);
    const field = this.#tokens.expectType("name");
    return (scope, value) => {
      const object = scope.get(name);
      if (!(object instanceof Namespace) || object.isFixed)
        throw new TypeError(`cannot assign attribute on ${typeName(object)}: '${name}' is no namespace`);
      object.fields.set(field, value);
    };
  }

  #macro(): Statement {
    const name = this.#tokens.expectType("name");
    const macro = this.#callable("endmacro");
    return (scope) => {
      scope.set(name, macro(scope));
      return undefined;
    };
  }

  /** Parameters, body and end of what can be called. */
  #callable(end: string): (scope: Scope) => Callable {
    const parameters = this.#tokens.isOperator("(") ? this.#parameters() : [];
    return this.#callableOf(parameters, end);
  }

  #callableOf(parameters: readonly Parameter[], end: string): (scope: Scope) => Callable {
    const around = this.#expressions.readNames;
    this.#expressions.readNames = new Set();
    const body = this.#plainBlock(end);
    const reads = this.#expressions.readNames;
    this.#expressions.readNames = new Set([...around, ...reads]);
    return (scope) => (given) => {
      const inner = scope.inner();
      bindMacro(inner, parameters, given, reads);
      return rendered(body, inner);
    };
  }

  #parameters(): Parameter[] {
    this.#tokens.expect("(");
    const parameters: Parameter[] = [];
    while (!this.#tokens.skip(")")) {
      if (parameters.length > 0) this.#tokens.expect(",");
      if (this.#tokens.skip(")")) break;
      const name = this.#tokens.expectType("name");
      parameters.push({ name, value: this.#tokens.skip("=") ? this.#expressions.expression() : null });
    }
    return parameters;
  }

  #callBlock(): Statement {
    const parameters = this.#tokens.isOperator("(") ? this.#parameters() : [];
    const callee = this.#expressions.primary();
    const callable = this.#expressions.callWith(callee);
    const caller = this.#callableOf(parameters, "endcall");
    return (scope, out) => void out.push(callable(scope, ["caller", caller(scope)]));
  }

  #filterBlock(): Statement {
    let captured: Value = "";
    let value = this.#expressions.filter(() => captured);
    while (this.#tokens.skip("|")) value = this.#expressions.filter(value);
    const body = this.#plainBlock("endfilter");
    const print = write(value);
    return (scope, out) => {
      captured = rendered(body, scope.inner());
      return print(scope, out);
    };
  }

  #with(): Statement {
    const values: { target: Target; value: Expression }[] = [];
    while (this.#tokens.current.type !== "blockEnd") {
      if (values.length > 0) this.#tokens.expect(",");
      const target = this.#oneTarget(false);
      this.#tokens.expect("=");
      values.push({ target, value: this.#expressions.expression() });
    }
    const body = this.#plainBlock("endwith");
    return (scope, out) => {
      const inner = scope.inner();
      for (const { target, value } of values) target(inner, value(scope));
      return body(inner, out);
    };
  }
}
