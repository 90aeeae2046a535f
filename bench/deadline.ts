/** What has not ended by then fails, so that whoever runs a benchmark need not watch it. */
export async function withDeadline<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = `The benchmark has not ended within ${seconds} s.`;
      // What is under way may end the process in its own words when its broker goes.
      console.error(text);
      reject(new Error(text));
    }, seconds * 1_000);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
