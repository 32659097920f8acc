/** Replaces Node's printer of warnings by one that leaves out that what we use of it is experimental. */
export function filterWarnings(): void {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => {
    if (name === 'ExperimentalWarning' && /SQLite|stripTypeScriptTypes/.test(message)) return;
    process.stderr.write(`warning: ${name}: ${message.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ')}\n`);
  });
}
