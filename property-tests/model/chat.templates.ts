/** Chat templates: one of a model as recorded, one with the habits of others, and hostile ones. @module */

/** SmolLM2-135M-Instruct's own. */
export const smollm2: string =
  `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`

/** Turns that must alternate, a system message that is part of the first, a date, thoughts that are cut out. */
export const strict: string = `{{ bos_token }}
{%- if messages[0].role == 'system' -%}
  {%- set prefix = messages[0]['content'] | trim + '\\n\\n' -%}
  {%- set turns = messages[1:] -%}
{%- else -%}
  {%- set prefix = '' -%}
  {%- set turns = messages -%}
{%- endif -%}
{%- macro turn(role, text) -%}
  {{ '<start_of_turn>' ~ role ~ '\\n' ~ text ~ '<end_of_turn>\\n' }}
{%- endmacro -%}
{%- set ns = namespace(count=0, last=turns | length - 1) -%}
{%- for message in turns -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception("Roles must alternate user/assistant") }}
  {%- endif -%}
  {%- set text = message.content -%}
  {%- if '</think>' in text and message.content is string -%}
    {%- set text = text.split('</think>')[-1].lstrip() -%}
  {%- endif -%}
  {%- set ns.count = ns.count + 1 -%}
  {{ turn('model' if message.role == 'assistant' else message.role, (prefix if loop.first else '') + text | trim) }}
{%- endfor -%}
{%- if strftime_now is defined -%}{{ strftime_now('%Y') }}{%- endif -%}
{%- if tools -%}{{ tools | tojson(indent=4) }}{%- endif -%}
{{- ns.count }}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}`

/** 524,288 letters in \`ns.s\`, then a loop that reads them until something ends it. */
const long = (body: string) =>
  "{% set ns = namespace(s='xxxxxxxx') %}" +
  "{% for i in range(16) %}{% set ns.s = ns.s + ns.s %}{% endfor %}" +
  "{% for i in range(40000) %}" + body + "{% endfor %}"
/** A list of numbers, read in a loop. */
const numbers = (body: string) =>
  "{% set a = range(9999) %}{% for i in range(9999) %}" + body + "{% endfor %}"
const times = (count: number, part: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => part(i)).join("")

/** What a template may ask for too much of, and templates that do. */
export const greedy: { readonly [limit: string]: { readonly [what: string]: string } } = {
  template: { "a megabyte of text": "x".repeat(2 ** 20) },
  blank: { "a long run of white space": " ".repeat(2 ** 16) },
  steps: {
    "a range of a thousand million": "{% for i in range(10**9) %}x{% endfor %}",
    "a range backwards": "{{ range(0, -(10**9), -1) | length }}",
    "loops in loops":
      "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "loops over long lists": times(99, () => "{% for i in range(60000) %}{% endfor %}"),
    "macros that call themselves twice":
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(30) }}",
    "unknown names": "{% for i in range(9999) %}" + "{{ nothing }}".repeat(99) + "{% endfor %}",
    "turning back": "{% for i in range(40000) %}{% continue %}{% endfor %}",
    "macros defined again and again": "{% for i in range(9999) %}{% macro f() %}" +
      "{{ 1 }}".repeat(5000) + "{% endmacro %}{% endfor %}",
    "blocks called again and again": "{% macro f() %}{{ caller() }}{% endmacro %}" +
      "{% for i in range(40000) %}{% call f() %}x{% endcall %}{% endfor %}",
    "sorting": numbers("{% set x = a | sort %}"),
    "splitting": long("{% set x = ns.s.split('x') %}"),
    "lists that double": "{% set ns = namespace(a=[1]) %}" +
      "{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
    "lists spread": "{% macro f() %}{{ varargs | length }}{% endmacro %}" +
      numbers("{{ f(*a) }}"),
  },
  work: {
    "long text in a loop": "{% for i in range(9999) %}" + "x".repeat(9999) + "{% endfor %}",
    "trimming": long("{% set x = ns.s | trim %}"),
    "capitals": long("{% set x = ns.s.title() %}"),
    "slices": long("{% set x = ns.s[1:] %}"),
    "replacing": long("{% set x = ns.s.replace('y', 'z') %}"),
    "comparing": long("{% if ns.s ~ 'a' == ns.s ~ 'b' %}{% endif %}"),
    "searching": long("{% if 'y' in ns.s %}{% endif %}"),
    "searching a list": numbers("{% if 'y' in a %}{% endif %}"),
    "a list as text": numbers("{% if a == 'y' %}{% endif %}"),
    "a list as JSON": numbers("{% set x = a | tojson %}"),
  },
  product: {
    "a text joined by itself": long("{{ ns.s | join(ns.s) | length }}"),
    "a text put between its letters": long("{{ ns.s.replace('', ns.s) | length }}"),
    "the same as a filter": long("{{ ns.s | replace('', ns.s) | length }}"),
    "a wide indent": "{{ 'a\\nb' | indent(10**9) }}",
    "a wide indent by name": "{{ 'a\\nb' | indent(width=10**9) }}",
    "a wide indent of JSON": "{{ [1, 2] | tojson(indent=10**9) }}",
    "a text searched for itself": long("{% if ns.s in ns.s + ns.s %}{% endif %}"),
  },
  depth: {
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a sum of many": "{{ " + "1+".repeat(9999) + "1 }}",
    "a chain of filters": "{{ 'a'" + "|trim".repeat(9999) + " }}",
    "conditions in conditions": "{% if 1 %}".repeat(500) + "{% endif %}".repeat(500),
    "open parentheses": "{{ " + "(".repeat(2 ** 15),
    "open brackets": "{{ " + "[".repeat(2 ** 15),
    "one negation after the other": "{{ " + "not ".repeat(2 ** 13) + "1 }}",
    "one sign after the other": "{{ " + "- ".repeat(2 ** 14) + "1 }}",
    "alternatives": "{% if 0 %}" + "{% elif 0 %}".repeat(2 ** 12) + "{% endif %}",
  },
  output: {
    "a text that doubles": "{% set ns = namespace(s='x') %}" +
      "{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "lists of two of the list before": "{% set a0 = ['x'] %}" +
      times(60, (i) => `{% set a${i + 1} = [a${i}, a${i}] %}`) + "{{ a60 }}",
    "the same through namespaces": times(40, (i) => `{% set n${i} = namespace() %}`) +
      times(39, (i) => `{% set n${i}.a = [n${i + 1}, n${i + 1}] %}`) + "{{ n0 | tojson }}",
    "a list that holds itself": "{% set n = namespace() %}{% set n.a = [n] %}{{ n }}",
  },
}

/** What no honest template does, by what the error says of it. */
export const rude: { readonly [says: string]: ReadonlyArray<string> } = {
  'reads the property "constructor"': [
    "{{ messages.constructor }}",
    "{{ ''['constr' + 'uctor'] }}",
    "{{ ''.upper.constructor('return 1')() }}",
  ],
  'reads the property "__proto__"': ["{{ messages[0].__proto__ }}", "{{ {}['__proto__'] }}"],
  'reads the property "prototype"': ["{{ range.prototype }}"],
  "uses a function as a value": [
    "{{ range }}",
    "{{ ''.upper }}",
    "{% set f = ''.replace %}",
    "{{ range.call }}",
    "{{ [range] }}",
    "{{ 'a' ~ raise_exception }}",
    "{% macro f(g) %}{{ g() }}{% endmacro %}{{ f(range) }}",
  ],
  "puts a namespace into a namespace": [
    "{% set n = namespace() %}{% set n.a = n %}{{ n }}",
  ],
}

/** What the interpreter cannot run, and what it says of it. */
export const unknown: { readonly [says: string]: string } = {
  "Unknown statement type: include": "{% include 'x' %}",
  "Unknown statement type: filter": "{% filter upper %}x{% endfilter %}",
  "Unknown StringValue filter: attr": "{{ ''|attr('x') }}",
  "Cannot call something that is not a function: got UndefinedValue": "{{ strftime_now('%Y') }}",
  "Missing end of comment tag": "{# never ends",
  "range() takes whole numbers, and a step that is not 0": "{{ range(1, 2, 0) }}",
}
