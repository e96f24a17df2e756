// An issuer by npm's oidc-provider, for tests/acceptance/test_openid.py: prints where it listens. Arguments: client's id,
// its secret, where people are sent back to, how it authenticates.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [client_id, client_secret, redirect, method] = process.argv.slice(2);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id, client_secret, redirect_uris: [redirect], token_endpoint_auth_method: method }],
    clientAuthMethods: [method],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'email', 'groups'],
    pkce: { required: () => true },
    cookies: { keys: ['of a test'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: true, groups: ['oncall'] }),
    }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
