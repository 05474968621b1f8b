import { readArguments, readList } from "./arguments.js";
import { applied, filterNamed } from "./filters.js";
import { attributeOf, call, itemOf, slice } from "./members.js";
import { arithmetic, comparison, joined, negated } from "./operators.js";
import { counted, named, type Expression, type Scope } from "./scope.js";
import { testNamed } from "./tests.js";
import type { TokenStream } from "./token-stream.js";
import { Float, isTrue, plain, Tuple, type Arguments, type Value } from "./values.js";

/** Reads expressions in the order of jinja2's grammar, into functions that evaluate them. */
export class ExpressionParser {
  readonly #tokens: TokenStream;
  /** Names that were read since the macro around them began. */
  readNames = new Set<string>();

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  expression(): Expression {
    let value = this.#or();
    while (this.#tokens.skip("if")) {
      const then = value;
      const condition = this.#or();
      const otherwise: Expression = this.#tokens.skip("else") ? this.expression() : () => undefined;
      value = counted((scope) => (isTrue(condition(scope)) ? then(scope) : otherwise(scope)));
    }
    return value;
  }

  /** Expressions with commas between them are a tuple. */
  tuple({ hasConditions = true, end = "", isParenthesized = false } = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    while (!this.#isTupleEnd(end)) {
      items.push(hasConditions ? this.expression() : this.#or());
      if (!this.#tokens.skip(",")) break;
      isTuple = true;
    }
    if (!isTuple && items[0]) return items[0];
    if (items.length === 0 && !isParenthesized) throw this.#tokens.fault("expected an expression");
    return counted((scope) => new Tuple(items.map((item) => item(scope))));
  }

  #isTupleEnd(end: string): boolean {
    const { type } = this.#tokens.current;
    return (
      type === "blockEnd" ||
      type === "variableEnd" ||
      this.#tokens.isOperator(")", "]") ||
      this.#tokens.isName(end)
    );
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#tokens.skip("or")) {
      const [a, b] = [left, this.#and()];
      left = counted((scope) => {
        const value = a(scope);
        return isTrue(value) ? value : b(scope);
      });
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#tokens.skip("and")) {
      const [a, b] = [left, this.#not()];
      left = counted((scope) => {
        const value = a(scope);
        return isTrue(value) ? b(scope) : value;
      });
    }
    return left;
  }

  #not(): Expression {
    if (!this.#tokens.skip("not")) return this.#comparison();
    const value = this.#not();
    return counted((scope) => !isTrue(value(scope)));
  }

  /** `a < b < c` is `a < b and b < c`. */
  #comparison(): Expression {
    const first = this.#sum();
    const rest: { operator: string; value: Expression }[] = [];
    for (;;) {
      const isNotIn = this.#tokens.isName("not") && this.#tokens.next.value === "in";
      if (isNotIn) this.#tokens.take();
      else if (!this.#tokens.isOperator("==", "!=", "<", "<=", ">", ">=") && !this.#tokens.isName("in"))
        break;
      const operator = this.#tokens.take().value;
      rest.push({ operator: isNotIn ? "not in" : operator, value: this.#sum() });
    }
    if (rest.length === 0) return first;
    return counted((scope) => {
      let left = first(scope);
      return rest.every(({ operator, value }) => {
        const right = value(scope);
        const holds = comparison(operator, plain(left), plain(right));
        left = right;
        return holds;
      });
    });
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concatenation());
  }

  #concatenation(): Expression {
    const parts = [this.#product()];
    while (this.#tokens.skip("~")) parts.push(this.#product());
    if (parts.length === 1) return parts[0] as Expression;
    return counted((scope) =>
      joined(
        parts.map((part) => part(scope)),
        scope.budget,
      ),
    );
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#binary(["**"], () => this.#unary(true)));
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.#tokens.isOperator(...operators)) {
      const operator = this.#tokens.take().value;
      const [a, b] = [left, operand()];
      left = counted((scope) => arithmetic(operator, a(scope), b(scope), scope.budget));
    }
    return left;
  }

  #unary(hasFilters: boolean): Expression {
    const isNegative = this.#tokens.isOperator("-");
    let value: Expression;
    if (isNegative || this.#tokens.isOperator("+")) {
      this.#tokens.take();
      const inner = this.#unary(false);
      value = counted((scope) => negated(inner(scope), isNegative));
    } else value = this.#postfix(this.primary());
    return hasFilters ? this.#filtersAndTests(value) : value;
  }

  primary(): Expression {
    const { type, value } = this.#tokens.current;
    if (type === "name") return this.#name();
    if (type === "string") {
      let text = "";
      while (this.#tokens.current.type === "string") text += this.#tokens.take().value;
      return () => text;
    }
    if (type === "integer" || type === "float") {
      this.#tokens.take();
      const number = type === "integer" ? Number(value) : new Float(Number(value));
      return counted(() => number);
    }
    if (this.#tokens.skip("(")) {
      const inner = this.tuple({ isParenthesized: true });
      this.#tokens.expect(")");
      return inner;
    }
    if (this.#tokens.skip("[")) {
      const items = readList(this.#tokens, "]", () => this.expression());
      return counted((scope) => items.map((item) => item(scope)));
    }
    if (this.#tokens.skip("{")) return this.#dict();
    throw this.#tokens.fault("expected an expression");
  }

  #name(): Expression {
    const name = this.#tokens.take().value;
    const constants: Record<string, Value> = {
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
    };
    if (Object.hasOwn(constants, name)) {
      const constant = constants[name];
      return counted(() => constant);
    }
    this.readNames.add(name);
    return named((scope) => scope.get(name));
  }

  #dict(): Expression {
    const entries = readList(this.#tokens, "}", () => {
      const key = this.expression();
      this.#tokens.expect(":");
      return [key, this.expression()] as const;
    });
    return counted((scope) => new Map(entries.map(([key, value]) => [key(scope), value(scope)])));
  }

  #postfix(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.#tokens.isOperator(".", "[")) value = this.#subscript(value);
      else if (this.#tokens.isOperator("(")) value = this.#call(value);
      else return value;
    }
  }

  #filtersAndTests(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.#tokens.skip("|")) value = this.filter(value);
      else if (this.#tokens.skip("is")) value = this.#test(value);
      else if (this.#tokens.isOperator("(")) value = this.#call(value);
      else return value;
    }
  }

  #subscript(object: Expression): Expression {
    if (this.#tokens.skip(".")) {
      const { type, value } = this.#tokens.take();
      if (type === "name") return counted((scope) => attributeOf(plain(object(scope)), value));
      if (type === "integer") return counted((scope) => itemOf(plain(object(scope)), Number(value)));
      throw this.#tokens.fault("expected a name");
    }
    this.#tokens.expect("[");
    const parts: (Expression | null)[] = [];
    let isSlice = false;
    while (!this.#tokens.isOperator("]")) {
      parts.push(this.#tokens.isOperator(":") ? null : this.expression());
      if (!this.#tokens.skip(":")) break;
      isSlice = true;
      if (this.#tokens.isOperator("]")) parts.push(null);
    }
    this.#tokens.expect("]");
    const [key] = parts;
    if (!isSlice && key) return counted((scope) => itemOf(plain(object(scope)), plain(key(scope))));
    return counted((scope) =>
      slice(
        plain(object(scope)),
        parts.map((part) => part?.(scope) ?? null),
      ),
    );
  }

  #call(callee: Expression): Expression {
    const given = readArguments(this.#tokens, () => this.expression());
    return counted((scope) => call(callee(scope), given(scope), scope.budget));
  }

  /** A call that takes one named argument more than is written. */
  callWith(callee: Expression): (scope: Scope, extra: [string, Value]) => string {
    const given = readArguments(this.#tokens, () => this.expression());
    return (scope, extra) => {
      const { positional, named } = given(scope);
      const all = { positional, named: new Map([...named, extra]) };
      return scope.print(call(callee(scope), all, scope.budget));
    };
  }

  /** A filter over a value; its name comes next. */
  filter(value: Expression): Expression {
    const name = this.#dotted();
    const filter = filterNamed(name);
    const given = this.#tokens.isOperator("(")
      ? readArguments(this.#tokens, () => this.expression())
      : () => ({ positional: [], named: new Map() });
    return counted((scope) => {
      // As jinja2 has it, an unknown one does no harm where it is not come to.
      if (filter === undefined) throw new TypeError(`no filter named '${name}'`);
      return applied(filter, value(scope), given(scope), scope.budget);
    });
  }

  #test(value: Expression): Expression {
    const isNegated = this.#tokens.skip("not");
    const name = this.#dotted();
    const test = testNamed(name);
    const given = this.#testArguments();
    return counted((scope) => {
      if (test === undefined) throw new TypeError(`no test named '${name}'`);
      return test(plain(value(scope)), given(scope).positional.map(plain)) !== isNegated;
    });
  }

  #testArguments(): (scope: Scope) => Arguments {
    if (this.#tokens.isOperator("(")) return readArguments(this.#tokens, () => this.expression());
    const { type } = this.#tokens.current;
    const isValue =
      ["name", "string", "integer", "float"].includes(type) || this.#tokens.isOperator("[", "{");
    if (!isValue || this.#tokens.isName("else", "or", "and", "if", "is", "in", "not"))
      return () => ({ positional: [], named: new Map() });
    const argument = this.#postfix(this.primary());
    return (scope) => ({ positional: [argument(scope)], named: new Map() });
  }

  #dotted(): string {
    let name = this.#tokens.expectType("name");
    while (this.#tokens.skip(".")) name += `.${this.#tokens.expectType("name")}`;
    return name;
  }
}
