'use strict';
// Old versions of Node must be able to read this file: they cannot read the library, and would only report its syntax.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  const error = new Error('longshore: needs Node 24.15 or later, this is ' + process.versions.node);
  error.stack = error.message; // where it was thrown helps nobody
  throw error;
}
