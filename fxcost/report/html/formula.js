// Formulas as text (+ - * ** // % max() min(), names, integers): read, evaluated exactly, and typeset as MathML.
//
// read() gives a tree of ["number", "12"], ["name", "H"] and [operator, ...arguments]; nothing is ever handed to the
// JavaScript interpreter.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const TOKEN = /\s*(?:(\d[\d_]*)|([\p{L}_][\p{L}\p{N}_]*)|(\*\*|\/\/|[-+*%(),]))/uy;

function read(text) {
  const tokens = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const start = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw new SyntaxError(`cannot read ${JSON.stringify(text.slice(start, start + 12))}`);
    if (found[1]) tokens.push(["number", found[1].replaceAll("_", "")]);
    else if (found[2]) tokens.push(["name", found[2]]);
    else tokens.push([found[3]]);
  }
  let at = 0;
  const next = () => (tokens[at] ?? ["end"])[0];
  const take = (kind) => {
    if (next() !== kind) throw new SyntaxError(`expected ${kind}, found ${next()}`);
    return tokens[at++];
  };
  const sum = () => {
    let left = product();
    while (next() === "+" || next() === "-") left = [take(next())[0], left, product()];
    return left;
  };
  const product = () => {
    let left = signed();
    while (["*", "//", "%"].includes(next())) left = [take(next())[0], left, signed()];
    return left;
  };
  const signed = () => {
    if (next() !== "-") return power();
    take("-");
    return ["negative", signed()];
  };
  const power = () => {
    const base = single();
    if (next() !== "**") return base;
    take("**");
    return ["**", base, signed()];
  };
  const single = () => {
    if (next() === "(") {
      take("(");
      const inner = sum();
      take(")");
      return inner;
    }
    if (next() === "name") {
      const name = take("name");
      if (next() !== "(") return name;
      if (name[1] !== "max" && name[1] !== "min") throw new SyntaxError(`there is no function ${name[1]}`);
      take("(");
      const parts = [sum()];
      while (next() === ",") {
        take(",");
        parts.push(sum());
      }
      take(")");
      return [name[1], ...parts];
    }
    return take("number");
  };
  const tree = sum();
  take("end");
  return tree;
}

// The exact value of a tree; `sizes(name)` gives a BigInt or throws.
function valueOf(tree, sizes) {
  const [kind, first] = tree;
  if (kind === "number") return BigInt(first);
  if (kind === "name") return sizes(first);
  const [a, b] = tree.slice(1).map((part) => valueOf(part, sizes));
  switch (kind) {
    case "+": return a + b;
    case "-": return a - b;
    case "*": return a * b;
    case "//": return div(a, b);
    case "%": return mod(a, b);
    case "**":
      if (b < 0n || b > 64n) throw new RangeError("an exponent is between 0 and 64");
      return a ** b;
    case "negative": return -a;
  }
  return (kind === "max" ? max : min)(...tree.slice(1).map((part) => valueOf(part, sizes)));
}

function namesIn(tree) {
  if (tree[0] === "name") return [tree[1]];
  return tree[0] === "number" ? [] : tree.slice(1).flatMap(namesIn);
}

// -- typesetting -----------------------------------------------------------------------------------------------------
const RANK = { "+": 1, "-": 1, "*": 2, "//": 5, "%": 2, negative: 2, "**": 4 };

function mathml(tag, ...content) {
  const element = document.createElementNS(MATHML, tag);
  element.append(...content);
  return element;
}

function operator(text, attributes = {}) {
  const element = mathml("mo", text);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const bracket = (text) => operator(text, { stretchy: "false" });

function within(tree, rank) {
  const inner = typeset(tree);
  return (RANK[tree[0]] ?? 9) < rank ? mathml("mrow", bracket("("), inner, bracket(")")) : inner;
}

// One tree as one MathML element: floor divisions as fractions in floor brackets, H2 with its digit lowered.
function typeset(tree) {
  const [kind, first, second] = tree;
  switch (kind) {
    case "number": return mathml("mn", first);
    case "name": return named(first);
    case "+":
    case "-": return mathml("mrow", typeset(first), operator(kind === "-" ? "−" : "+"), within(second, 2));
    case "negative": return mathml("mrow", operator("−", { form: "prefix" }), within(first, 2));
    case "*": return mathml("mrow", within(first, 2), times(first, second), within(second, 3));
    case "//": return mathml("mrow", operator("⌊"), mathml("mfrac", typeset(first), typeset(second)), operator("⌋"));
    case "%": return mathml("mrow", within(first, 2), operator("mod", { lspace: "0.3em", rspace: "0.3em" }), within(second, 3));
    case "**": return mathml("msup", within(first, 5), typeset(second));
  }
  const parts = tree.slice(1).flatMap((part, i) => (i ? [operator(","), typeset(part)] : [typeset(part)]));
  return mathml("mrow", mathml("mi", kind), bracket("("), ...parts, bracket(")"));
}

function named(name) {
  const found = /^([^\d_]+)(\d+)$/u.exec(name);
  return found ? mathml("msub", mathml("mi", found[1]), mathml("mn", found[2])) : mathml("mi", name);
}

function times(left, right) {
  const digits = (tree) => tree[0] === "number" || (tree[0] === "*" && digits(tree[2])) || (tree[0] === "**" && digits(tree[1]));
  return digits(right) ? operator("·") : operator("\u2062", { lspace: "0.12em", rspace: "0.12em" });
}

// A formula as a row of MathML pieces between which a line may break; a screen reader reads the text instead.
function formula(text) {
  const row = document.createElement("span");
  row.className = "formula";
  row.setAttribute("role", "math");
  row.setAttribute("aria-label", text);
  const add = (piece) => row.append(piece, " ");
  const math = (...content) => mathml("math", mathml("mrow", ...content));
  const walk = (tree, before, after) => {
    const [kind, first, second] = tree;
    if (kind === "+" || kind === "-") {
      walk(first, before, []);
      walkTerm(second, [operator(kind === "-" ? "−" : "+", { form: "infix" })], after, kind === "-");
    } else walkTerm(tree, before, after, false);
  };
  const walkTerm = (tree, before, after, negated) => {
    const [kind, first, second] = tree;
    if (kind === "max" || kind === "min") {
      const parts = tree.slice(1);
      parts.forEach((part, i) => {
        const open = i ? [] : [...before, mathml("mi", kind), bracket("(")];
        walk(part, open, i < parts.length - 1 ? [operator(",")] : [bracket(")"), ...after]);
      });
    } else if (kind === "*" && ["+", "-", "max", "min"].includes(second[0])) {
      const isSum = second[0] === "+" || second[0] === "-";
      const factor = [...before, within(first, 2), times(first, second), ...(isSum ? [bracket("(")] : [])];
      walk(second, factor, isSum ? [bracket(")"), ...after] : after);
    } else add(math(...before, negated ? within(tree, 2) : typeset(tree), ...after));
  };
  walk(read(text), [], []);
  return row;
}
