/** Replaces Node's printer of warnings by one that leaves out that SQLite is experimental. */
export function filterWarnings(): void {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => {
    if (name === 'ExperimentalWarning' && message.includes('SQLite')) return;
    process.stderr.write(`warning: ${name}: ${message.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ')}\n`);
  });
}
