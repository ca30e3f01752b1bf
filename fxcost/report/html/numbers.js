// Numbers for people: 4.09 GMAC, 6.42 MB, 1.3 ms; integers of any size, grouped in threes.

const SCALES = [[18, "E"], [15, "P"], [12, "T"], [9, "G"], [6, "M"], [3, "K"]];
const SMALL = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
const SHORT_UNITS = { bytes: "B", elements: "" };

function grouped(value) {
  return value.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

// A BigInt or a number with three digits; whole numbers below ten thousand stay as they are.
function human(value, unit) {
  const short = SHORT_UNITS[unit] ?? unit;
  const amount = Number(value);
  if (Math.abs(amount) < 10000 && Number.isInteger(amount)) return `${grouped(amount)} ${short}`.trim();
  for (const [power, letter] of SCALES) {
    const scaled = amount / 10 ** power;
    if (Math.abs(scaled) >= 0.9995) {
      const digits = Math.abs(scaled) < 999.5 ? threeDigits(scaled) : scaled < 1e6 ? grouped(Math.round(scaled)) : scaled.toExponential(2);
      return `${digits} ${letter}${short}`;
    }
  }
  return `${threeDigits(amount)} ${short}`.trim();
}

function threeDigits(value) {
  return String(Number(value.toPrecision(3)));
}

function small(value, unit) {
  if (value === 0) return `0 ${unit}`;
  for (const [scale, letter] of SMALL) {
    if (value >= 0.9995 * scale || letter === "n") {
      const amount = value / scale;
      return `${amount < 999.5 ? threeDigits(amount) : amount < 1e7 ? grouped(Math.round(amount)) : amount.toExponential(2)} ${letter}${unit}`;
    }
  }
}

const seconds = (value) => small(value, "s");
const joules = (value) => small(value, "J");

function percent(part, whole) {
  const share = (100 * Number(part)) / Number(whole);
  return Number(whole) ? `${share.toFixed(1)} %` : "";
}
