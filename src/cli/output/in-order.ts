/** Hands items on in the order of their index, each as soon as all before it have come. */
export function inOrder<T>(take: (item: T) => void): (index: number, item: T) => void {
  const early = new Map<number, T>();
  let next = 0;
  return (index, item) => {
    early.set(index, item);
    for (let ready = early.get(next); ready !== undefined; ready = early.get(next)) {
      early.delete(next);
      next += 1;
      take(ready);
    }
  };
}
