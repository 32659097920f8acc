'use strict';
require('./check-node.cjs');
module.exports = require('../dist/src/index.js');
