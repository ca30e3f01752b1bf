// Integers as Python has them: division rounds down, a remainder has the sign of its divisor.

function div(a, b) {
  if (b === 0n) throw new RangeError("division by zero");
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}

function mod(a, b) {
  if (b === 0n) throw new RangeError("division by zero");
  const rest = a % b;
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
}

function max(...values) {
  return values.reduce((best, value) => (value > best ? value : best));
}

function min(...values) {
  return values.reduce((best, value) => (value < best ? value : best));
}
