"""Makes `templates.json.gz`: chat templates and snippets as Python's jinja2 renders them.

    pip install jinja2==3.1.6 && python test/vectors/templates.py DIRECTORY

DIRECTORY: `models/templates` of llama.cpp at the version that node-llama-cpp names (MIT licence); the templates are
kept in the file. The environment is the one of Hugging Face's transformers (utils/chat_template_utils.py).
"""

import gzip
import json
import pathlib
import sys
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime(2026, 1, 2, 3, 4, 5)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(lineno)

    @jinja2.pass_eval_context
    def _pass(self, context, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = lambda format: NOW.strftime(format)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "How the weather is.",
        "parameters": {
            "type": "object",
            "properties": {
                "town": {"type": "string", "description": "Where.", "enum": ["Bern", "Rome"]},
                "days": {"type": "integer", "description": "How many days.", "minimum": 1, "default": 3},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "Which."},
                "place": {
                    "type": "object",
                    "properties": {"x": {"type": "number"}, "y": {"type": ["number", "null"]}},
                    "required": ["x"],
                },
            },
            "required": ["town"],
        },
    },
}
BARE = {
    "type": "function",
    "function": {
        "name": "note-it",
        "description": "",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}, "a": {"type": "boolean"}}},
    },
}
EMPTY = {
    "type": "function",
    "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
}


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **fields):
    return {"role": "assistant", "content": text, **fields}


def call(name, arguments, id="shoulder1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text, id="shoulder1", **fields):
    return {"role": "tool", "content": text, "tool_call_id": id, **fields}


TALK = [user("Hi"), assistant("Hello"), user("How are you?")]
FULL = {
    "town": "Bern \"old\" <b>\n it's",
    "days": 3,
    "tags": ["a", "b'c", ""],
    "place": {"x": 1.5, "y": None, "z": {"deep": [True, False, {}]}},
    "big": 12000000000,
    "flag": True,
    "none": None,
    "empty": "",
}
ONE = [user("Weather?"), assistant("", tool_calls=[call("get_weather", {"town": "Bern"})])]
TWO = [
    user("Weather?"),
    assistant(
        "", tool_calls=[call("get_weather", {"town": "Bern"}), call("note-it", {"text": "x", "a": True}, "shoulder2")]
    ),
]
BOTH = [result("sun", name="get_weather"), result("done", "shoulder2", name="note-it")]
TOOLS = [WEATHER, BARE, EMPTY]


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


CHATS = {
    "user": {"messages": [user("Hi")]},
    "system": {"messages": [system("Be kind."), user("Hi")]},
    "empty system": {"messages": [system(""), user("Hi")]},
    "turns": {"messages": [system("S"), *TALK]},
    "many turns": {"messages": [*TALK, assistant("Fine"), user("Good"), assistant("Yes"), user("Bye")]},
    "not asked on": {"messages": [user("Hi"), assistant("Hello")], "add_generation_prompt": False},
    "last is the assistant's": {"messages": [user("Hi"), assistant("Hello")]},
    "later system": {"messages": [*TALK, system("Be brief."), user("Well?")]},
    "two systems": {"messages": [system("A"), system("B"), user("Hi")]},
    "two users": {"messages": [user("A"), user("B")]},
    "assistant first": {"messages": [assistant("Hello"), user("Hi")]},
    "two assistants": {"messages": [user("Hi"), assistant("A"), assistant("B"), user("C")]},
    "empty answer": {"messages": [user("Hi"), assistant(""), user("C")]},
    "no content": {"messages": [user("Hi"), assistant(None), user("C")]},
    "developer": {"messages": [{"role": "developer", "content": "D"}, user("Hi")]},
    "strange role": {"messages": [user("Hi"), {"role": "critic", "content": "Bad"}]},
    "spaces": {"messages": [system(" \n S\t\n"), user("  Hi \n\n"), assistant("\n\n  indented\n    more \n"), user("\tend\n")]},
    "characters": {"messages": [user("héé 😀 \u00a0\u2028 ＜|x|＞ \\n {{ x }} {% y %} & <b>'\""), assistant("日本語 🇨🇭"), user("ok")]},
    "parts": {"messages": [system(parts("S1", "S2")), user(parts("A", "B")), assistant(parts("C")), user(parts("D"))]},
    "thought in the text": {"messages": [user("Hi"), assistant("<think>\nHm.\n</think>\n\nHello"), user("Go on")]},
    "thought": {"messages": [user("Hi"), assistant("Hello", reasoning_content="Hm."), user("Go on")]},
    "thought last": {
        "messages": [user("Hi"), assistant("Hello", reasoning_content=" Hm.\n\nSo. ")],
        "add_generation_prompt": False,
    },
    "thought, other names": {
        "messages": [user("Hi"), assistant("Hello", reasoning="Hm.", thinking="Hm."), user("Go on")],
        "add_generation_prompt": False,
    },
    "thinking on": {"messages": [system("S"), user("Hi")], "enable_thinking": True, "thinking": True},
    "thinking off": {"messages": [system("S"), user("Hi")], "enable_thinking": False, "thinking": False},
    "effort": {"messages": [user("Hi")], "reasoning_effort": "high"},
    "tools": {"messages": [user("Weather?")], "tools": TOOLS},
    "tools and system": {"messages": [system("S"), user("Weather?")], "tools": TOOLS},
    "one tool": {"messages": [user("Time?")], "tools": [EMPTY]},
    "call": {"messages": ONE, "tools": TOOLS, "add_generation_prompt": False},
    "call and result": {"messages": [*ONE, result("sun", name="get_weather")], "tools": TOOLS},
    "answered call": {
        "messages": [*ONE, result("sun", name="get_weather"), assistant("Sun."), user("Thanks")],
        "tools": TOOLS,
    },
    "text and call": {
        "messages": [user("W?"), assistant("Let me see.", tool_calls=[call("get_weather", {"town": "Rome"})]), result("sun")],
        "tools": TOOLS,
    },
    "thought and call": {
        "messages": [
            user("W?"),
            assistant("", reasoning_content="Hm.", tool_calls=[call("get_weather", {"town": "Rome"})]),
            result("sun"),
        ],
        "tools": TOOLS,
    },
    "two calls": {"messages": [*TWO, *BOTH], "tools": TOOLS},
    "all kinds of arguments": {
        "messages": [user("W?"), assistant("", tool_calls=[call("get_weather", FULL)]), result('{"a": [1, 2.5]}')],
        "tools": TOOLS,
    },
    "no arguments": {"messages": [user("T?"), assistant("", tool_calls=[call("now", {})]), result("noon")], "tools": TOOLS},
    "arguments as text": {
        "messages": [user("T?"), assistant("", tool_calls=[call("get_weather", '{"town": "Bern"}')]), result("sun")],
        "tools": TOOLS,
    },
    "call without content": {
        "messages": [user("T?"), assistant(None, tool_calls=[call("now", {})]), result("noon")],
        "tools": TOOLS,
    },
    "documents": {"messages": [user("Hi")], "documents": [{"title": "T", "text": "X", "doc_id": 1}]},
    "calls without tools": {"messages": [*ONE, result("sun")]},
}

VALUES = {
    "s": "  Hello, World \n",
    "w": "one two  three",
    "e": "",
    "u": "é😀ß",
    "n": 7,
    "f": 2.5,
    "t": True,
    "none": None,
    "l": [3, 1, 2],
    "ls": ["b", "A", "c"],
    "d": {"b": 1, "a": [1, {"x": None}], "C": "é"},
    "objects": [{"n": "x", "v": 2, "on": True}, {"n": "Y", "v": 1, "on": False}, {"n": "x", "v": 3}],
    "deep": {"a": {"b": ["zero", "one"]}},
}

EXPRESSIONS = r"""
none ;; True ;; False ;; 1.0 ;; 1e3 ;; 10 ** 20 ;; 1e16 ;; 1e-5 ;; 0.1 + 0.2 ;; 7 / 2 ;; 7 // 2 ;; -7 // 2 ;; -7 % 3 ;; 7 % -3 ;; 2 ** 3 ** 2 ;; -2 ** 2 ;; 2 ** -1
1 < 2 < 3 ;; 1 < 3 < 2 ;; 1 == 1.0 ;; True == 1 ;; "a" < "b" ;; [1, 2] < [1, 3] ;; none == none ;; x == none ;; x is none ;; "1" == 1
"a" ~ 1 ~ none ~ x ~ True ;; "a" "b" 'c' ;; "a" * 3 ;; [1] * 2 ;; [1] + [2] ;; (1, 2) + (3,) ;; (1,) ;; () ;; [] ;; {} ;; {"a": 1, 2: [none, "q'"]}
{1: "one", "1": "text"}[1] ;; {1: "one", "1": "text"}["1"] ;; (1, "a")[0] ;; l[-1] ;; l[9] ;; s[2:7] ;; l[::-1] ;; w[::2] ;; l[1:] ;; l[:-1] ;; u[1] ;; u[::-1]
n if t else 1 ;; n if x ;; n if x else none ;; not x ;; not not l ;; x or "y" ;; "" and 1 ;; l and e ;; 1 if 0 else 2 if 0 else 3
"ell" in s ;; "x" not in ls ;; 3 in l ;; "b" in d ;; "q" in d ;; none in [none] ;; 1 in (1, 2) ;; "a" in x ;; x in l
d.b ;; d["b"] ;; d.get("q") ;; d.get("q", 5) ;; d.items()|list ;; d.keys()|list ;; d.values()|list ;; d.a[1].x ;; d.nope ;; deep.a.b.1 ;; deep["a"]["b"][0] ;; d.a.1.x
n.nope ;; none.nope ;; s.nope ;; l.nope
s.strip() ;; s.strip(" \n") ;; s.strip("H ") ;; s.lstrip() ;; s.rstrip() ;; s.lstrip(" H") ;; s.rstrip("\n") ;; "xxabxx".strip("x") ;; "a\n\n".rstrip("\n")
s.upper() ;; s.lower() ;; "hello wORLD".title() ;; "hello wORLD".capitalize() ;; "hELLO".swapcase() ;; "it's o'neil".title()
w.split() ;; w.split(" ") ;; w.split(none, 1) ;; w.split(" ", 1) ;; w.rsplit(" ", 1) ;; w.rsplit(none, 1) ;; "a,b,,c".split(",") ;; "a,b,,c".rsplit(",", 2) ;; "".split() ;; "".split(",")
"a\nb\r\nc\n".splitlines() ;; "a\nb".splitlines(True) ;; "".splitlines() ;; "a-b-c".partition("-") ;; "a-b-c".rpartition("-") ;; "abc".partition("-") ;; "abc".rpartition("-")
"a.b".replace(".", "") ;; "aaa".replace("a", "b", 2) ;; "abc".replace("", "-") ;; "aaa".count("a") ;; "aaa".count("aa") ;; "aaa".count("") ;; "abcabc".find("c") ;; "abcabc".find("x") ;; "abcabc".rfind("c") ;; "abcabc".find("c", 3) ;; "abcabc".index("b") ;; u.find("ß")
"abc".startswith("a") ;; "abc".startswith(("x", "ab")) ;; "abc".endswith("c") ;; "abc".removeprefix("a") ;; "abc".removesuffix("c") ;; "abc".removeprefix("x")
"-".join(["a", "b"]) ;; "ab".center(6) ;; "ab".ljust(4, ".") ;; "ab".rjust(4) ;; "-7".zfill(4) ;; "ab".isalpha() ;; "a1".isalnum() ;; "12".isdigit() ;; " ".isspace() ;; "Ab".islower() ;; "AB".isupper() ;; "Ab Cd".istitle() ;; "".isalpha()
"{} {}".format("a", 1) ;; "{0}{1}{0}".format("a", "b") ;; "{x} {y!r}".format(x="a", y="b") ;; "{:>5},{:<4},{:^5}".format("a", "b", "c") ;; "{:05d} {:.2f} {:,}".format(42, 3.14159, 1234567) ;; "{{}} {}".format(1) ;; "{:x} {:b} {:e}".format(255, 5, 12345.678)
"%s-%d-%r" % ("a", 5, "b") ;; "%05.1f" % 3.14159 ;; "%s" % none ;; "%x" % 255 ;; "%(a)s" % {"a": 1} ;; "100%%" % () ;; "%-5s," % "a" ;; "%s" % [1]
l.count(1) ;; l.index(2) ;; d.copy()
l|sort ;; l|sort(reverse=true) ;; ls|sort ;; ls|sort(case_sensitive=true) ;; objects|sort(attribute="v")|map(attribute="n")|list ;; d|dictsort ;; d|dictsort(true) ;; d|dictsort(reverse=true) ;; d|dictsort(by="key") ;; {"a": 3, "b": 1}|dictsort(by="value")
l|join ;; l|join(", ") ;; objects|join("-", attribute="n") ;; "abc"|join(".") ;; x|join ;; x|length ;; none|default("a") ;; x|default("a") ;; ""|default("a", true) ;; x|d ;; s|length ;; u|length ;; d|length ;; l|count
l|first ;; l|last ;; []|first ;; "abc"|first ;; "abc"|last ;; l|max ;; l|min ;; ls|max ;; []|max ;; objects|max(attribute="v") ;; l|sum ;; objects|sum(attribute="v") ;; [1.5, 2]|sum(start=1) ;; ["a", "b", "A", "a"]|unique|list ;; l|reverse|list ;; "abc"|reverse
[1, 2, 3, 4, 5]|batch(2)|list ;; [1, 2, 3]|batch(2, "x")|list ;; [1, 2, 3, 4, 5]|slice(2)|list ;; [1, 2, 3]|slice(2, "x")|list ;; objects|groupby("n")|list|length ;; objects|groupby("n")|map(attribute="grouper")|list
objects|selectattr("on")|map(attribute="n")|list ;; objects|rejectattr("on")|map(attribute="n")|list ;; objects|selectattr("v", "gt", 1)|list|length ;; objects|selectattr("n", "equalto", "x")|list|length ;; objects|selectattr("on", "defined")|list|length ;; l|select("odd")|list ;; l|reject("odd")|list ;; [0, 1, ""]|select|list ;; l|map("string")|list ;; ls|map("upper")|join ;; ls|map("replace", "A", "z")|list ;; objects|map(attribute="on", default=5)|list ;; objects|map(attribute="v")|sum
"  a "|trim ;; "xxaxx"|trim("x") ;; none|trim ;; x|trim ;; "a b-c d(e"|title ;; "hELLO wORLD"|capitalize ;; "ab"|upper ;; "AB"|lower ;; 5|string ;; none|string ;; True|string ;; [1, "a"]|string ;; d|string ;; 2.0|string ;; x|string
"3"|int ;; "3.7"|int ;; "x"|int ;; "x"|int(9) ;; 3.9|int ;; -3.9|int ;; "0x1f"|int(base=16) ;; "ff"|int(0, 16) ;; True|int ;; none|int ;; "2.5"|float ;; "x"|float ;; 2|float ;; "1e3"|float ;; -3|abs ;; -3.5|abs ;; 2.567|round(1) ;; 2.5|round ;; 3.5|round ;; 7|round ;; 2.1|round(0, "ceil") ;; 2.9|round(method="floor") ;; -1|abs
"a\nb\n\nc"|indent ;; "a\nb\n\nc"|indent(2, true) ;; "a\n\nb"|indent(2, blank=true) ;; "a\nb"|indent("> ") ;; "a\nb\n"|indent(2) ;; "foo bar baz qux"|truncate(9) ;; "foo bar baz qux"|truncate(9, true) ;; "foo bar baz qux"|truncate(11, false, "…", 0) ;; "a b  c"|wordcount ;; "ab"|center(6) ;; "ab"|replace("a", "b") ;; "%s!"|format("x") ;; "<a & 'b'>"|e ;; "<a>"|escape ;; "<a>"|safe ;; "<a>"|safe + "<b>" ;; "<a>" + "<b>"|safe ;; "<a>"|safe ~ "<b>" ;; "<a>"|e ~ 1 ;; "<a>"|safe|upper ;; "<a>"|e|e ;; "<a>"|e|length ;; "a"|safe == "a" ;; "a"|safe is string ;; {"a": 1}["a"|safe] ;; none|select|list ;; none|map("upper")|list ;; none|selectattr("a")|list ;; "a"|safe in ["a"] ;; "a b/ü"|urlencode
d|tojson ;; d|tojson(indent=2) ;; d|tojson(sort_keys=true) ;; d|tojson(separators=(",", ":")) ;; d|tojson(ensure_ascii=true) ;; "é\"\\\n\t😀</b>'"|tojson ;; []|tojson(indent=4) ;; {}|tojson(indent=4) ;; 1.0|tojson ;; 1e20|tojson ;; (1, 2)|tojson ;; none|tojson ;; {1: 2, none: 3}|tojson ;; x|tojson ;; u|tojson ;; [1, [2, {"a": []}]]|tojson(indent=1)
d|items|list ;; x|items|list ;; d|list ;; "abc"|list ;; d|attr("b") ;; l|map("abs")|list ;; [3, 1]|map("string")|join(",")
n is odd ;; n is even ;; n is divisibleby 7 ;; n is divisibleby(2) ;; n is number ;; f is float ;; n is integer ;; t is boolean ;; t is true ;; t is false ;; n is true ;; s is string ;; d is mapping ;; l is iterable ;; s is iterable ;; n is iterable ;; l is sequence ;; d is sequence ;; n is sequence ;; x is defined ;; x is undefined ;; none is none ;; none is defined ;; s.strip is callable ;; n is callable ;; n is eq 7 ;; n is equalto(7) ;; n is ne 3 ;; n is gt 3 ;; n is lt(3) ;; n is ge 7 ;; n is in [7] ;; "a" is lower ;; "A" is upper ;; n is sameas n ;; n is not odd ;; not n is odd ;; t is integer ;; t is number ;; x is iterable ;; none is sameas none ;; n is odd and t ;; d.a is sequence and d.a is not string
n + f ;; n - 3 ;; n * f ;; -n ;; +n ;; n + t ;; "a" + x ;; "a" + none ;; "a" + 1 ;; none + 1 ;; x + 1 ;; x.y ;; x[0] ;; x() ;; n() ;; 1 in 5 ;; 1 in "1" ;; none < 1 ;; 1 / 0 ;; "a" - "b" ;; [1][:"a"] ;; d.update({}) ;; d.pop("b") ;; "%d" % "a" ;; "a"|nope ;; n is nope ;; [1, "a"]|sort ;; 5|length ;; none|length ;; 5|list ;; none|list ;; none|join ;; [none, x, 1]|join("-") ;; x|first ;; x|list ;; x|map("upper")|list ;; x|sum ;; x|upper ;; x|replace("a", "b") ;; x|int ;; none|upper ;; true|lower ;; s.__class__ ;; s|attr("__class__") ;; "a".nope() ;; l|tojson|length
range(3)|list ;; range(1, 7, 2)|list ;; range(3, 0, -1)|list ;; dict(a=1, b=2) ;; dict({"a": 1}, b=2)|tojson ;; namespace(a=1).a ;; namespace({"a": 2}).a ;; strftime_now("%Y-%m-%d %H:%M:%S %d %b %B %A %a %y %j %p %I %-d %%") ;; raise_exception("no") ;; [1, 2,] ;; (1,)|list ;; {"a": 1,}|list ;; [[1, 2], [3]]|sum(start=[]) ;; "\u00e9\x41\t\q\'" ;; 'it\'s' ;; "a" if n > 3 else "b" if n else "c" ;; (n if f else s)|string|length ;; n if false ;; -f|abs ;; 1_000 ;; 0x1F ;; 0b11 ;; 1.5e-7 ;; 100000000000000000.0 ;; 123456789.123
"""

STATEMENTS = r"""
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle("a", "b") }}{{ loop.changed(x > 1) }};{% endfor %}
{% for x in nope %}{{ x }}{% else %}none{% endfor %}
{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{% endfor %}
{% for x in [] %}a{% else %}b{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for k, v in d|dictsort %}{{ k }}{{ loop.index }}{% endfor %}
{% for c in u %}[{{ c }}]{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% for y in ls %}{% if y == "A" %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in 5 %}{{ x }}{% endfor %}
{% for x in none %}{{ x }}{% endfor %}
{% for item in [{"n": 1, "c": [{"n": 2, "c": []}]}] recursive %}{{ item.n }}{{ loop.depth }}({{ loop(item.c) }}){% endfor %}
{% set x = 1 %}{% for i in l %}{{ x }}{% set x = i %}{% endfor %}{{ x }}
{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% if t %}{% set y = 5 %}{% endif %}{{ y }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a = 1, 2 %}{{ a }}
{% set a %}x{{ n }}y{% endset %}[{{ a }}]{{ a|length }}
{% set a | upper | trim %} abc {% endset %}[{{ a }}]
{% set d.x = 1 %}
{% set q = namespace() %}{% set q.a = 1 %}{{ q.a }}{{ q.b }}
{% macro m(a, b=2, c=b) %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=5) }}{{ m(b=1) }}{{ m(1, 2, 3)|length }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ n }}{% endcall %}
{% macro m() %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(i) m() %}[{{ i }}]{% endcall %}
{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 1 %}{{ m() }}
{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}
{{ undefined_macro() }}
{% filter upper %}abc{{ n }}{% endfilter %}
{% filter replace("a", "b")|upper %}aXa{% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% raw %}{{ x }} {% if %}{% endraw %}!
{%- raw -%}  {{ x }}  {%- endraw -%} !
{% generation %}abc{% endgeneration %}
{# comment #}a{#- c -#} b
a {%- if t %} b {% endif -%} c
  {% if t %}
  x
  {% endif %}
y
  {%+ if t %}x{% endif %}
{% if t -%}
  x
{%- endif %}
{% if n == 1 %}a{% elif n == 7 %}b{% else %}c{% endif %}
{% if x %}a{% elif none %}b{% endif %}
{% if l and not x or 0 %}a{% endif %}
{{ n -}}   a   {{- n }}
{{ "}}" }}{{ "{%" }}
{{ {"a": {"b": 1}}["a"]["b"] }}
{{ {"a": {"b": 1}} }}
{% if t %}a{% endif %}

b
{% print n %}
{% nope %}
{% if t %}
{{ n
{{ n }
{% for %}{% endfor %}
{{ 1 + }}
{{ a b }}
{% do l %}
{{ loop }}
{% set x = "a" %}{% set x = x + "b" %}{{ x }}
{% for m in objects %}{% set c = m.n %}{{ c }}{% endfor %}{{ c }}
{% set l2 = l + [4] %}{{ l2 }}{{ l }}
{% set j = joiner("|") %}{{ j() }}a{{ j() }}b{{ j() }}
{% set c = cycler("a", "b") %}{{ c.next() }}{{ c.next() }}{{ c.next() }}
{% autoescape false %}{{ "<" }}{% endautoescape %}
"""


def snippets():
    for line in EXPRESSIONS.strip("\n").split("\n"):
        for expression in line.split(" ;; "):
            yield "{{ " + expression + " }}"
    for line in STATEMENTS.strip("\n").split("\n"):
        yield line
    # Over several lines.
    yield "a\n  {% if t %}\n    b\n  {% endif %}\nc\n"
    yield "a\n  {%- if t %}\n    b\n  {%- endif %}\nc\n\n"
    yield "{% for x in l %}\n\t{{ x }}\n{% endfor %}\nend"
    yield "  {# c #}\n  a\n  {#- c #}\nb"
    yield "x {% if t %} \n y {% endif %}\n\n z\n"
    yield "\r\na\rb\r\n{% if t %}\r\nc{% endif %}"
    yield "  {{ n }}\n  {{- n }}\n"
    yield "  {%+ if t %}a{% endif +%}\nb"
    yield "{% raw %}\n a\n  {% endraw %}\nb"
    yield "{{ 'a\\\nb' }}{{ 'a\nb' }}"


def render(template, context):
    try:
        return environment.from_string(template).render(**context)
    except Exception:
        return None


def main():
    directory = pathlib.Path(sys.argv[1])
    templates = {path.stem: path.read_text() for path in sorted(directory.glob("*.jinja"))}
    specials = {"bos_token": "<bos>", "eos_token": "<eos>"}
    rendered = {
        name: {
            chat: render(text, {"add_generation_prompt": True, **specials, **context})
            for chat, context in CHATS.items()
        }
        for name, text in templates.items()
    }
    vectors = {
        "origin": "models/templates of llama.cpp, MIT licence; rendered by jinja2 " + jinja2.__version__,
        "templates": templates,
        "chats": CHATS,
        "rendered": rendered,
        "values": VALUES,
        "snippets": {snippet: render(snippet, VALUES) for snippet in snippets()},
    }
    text = json.dumps(vectors, ensure_ascii=False)
    path = pathlib.Path(__file__).parent / "templates.json.gz"
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(templates)} templates, {len(CHATS)} chats, {len(vectors['snippets'])} snippets: {path.stat().st_size} bytes")


main()
