/**
 * Replaces Node's printer of warnings by one that leaves out that what we use of it is experimental, and that a variable of
 * the environment lifts the check of certificates: here it does not.
 */
export function filterWarnings(): void {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => {
    if (name === 'ExperimentalWarning' && /SQLite|stripTypeScriptTypes/.test(message)) return;
    if (message.includes('NODE_TLS_REJECT_UNAUTHORIZED')) return; // docs/rules.md H13; we say so ourselves
    process.stderr.write(`warning: ${name}: ${message.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ')}\n`);
  });
}
