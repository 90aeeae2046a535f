/** One figure of a benchmark, with the bound it must keep, if it has one. */
export interface Result {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly met: boolean;
}

export function result(
  what: string,
  value: number,
  unit: string,
  bound: { readonly atLeast?: number; readonly atMost?: number } = {},
): Result {
  const met = value >= (bound.atLeast ?? -Infinity) && value <= (bound.atMost ?? Infinity);
  return { what, value: Number(value.toPrecision(4)), unit, ...bound, met };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
