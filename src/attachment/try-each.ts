/** Uses every one, whatever becomes of the others; the first failure is thrown at the end. */
export function tryEach<T>(items: readonly T[], use: (item: T) => void): void {
  const failures: unknown[] = [];
  for (const item of items) {
    try {
      use(item);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
