import test from 'ava';

import { registryImageName } from '../../src/image/registry-image-name.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';

test('a converted image is named after its registry and repository', (t) => {
  const cases = [
    ['docker://redis:7', 'registry-1.docker.io/library/redis'],
    ['docker://index.docker.io/team/app', 'registry-1.docker.io/team/app'],
    ['docker://quay.io/coreos/etcd:v2.3.0', 'quay.io/coreos/etcd'],
    ['docker://localhost:5000/x', 'localhost_5000/x'],
  ] as const;
  for (const [text, name] of cases) t.is(registryImageName(parseRegistryReference(text)), name);
});
