import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Erlang is there wherever RabbitMQ is, and makes certificates for tests. */
const PROGRAM = `
  [Folder] = init:get_plain_arguments(),
  Names = {'Extension', {2,5,29,17}, false, [{dNSName, "localhost"}]},
  Signed = [{key, {rsa, 2048, 65537}}, {digest, sha256}],
  Chain = #{root => Signed, intermediates => [], peer => [{extensions, [Names]} | Signed]},
  Made = public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}),
  #{server_config := Server, client_config := Client} = Made,
  {cert, Cert} = lists:keyfind(cert, 1, Server),
  {key, {Kind, Key}} = lists:keyfind(key, 1, Server),
  {cacerts, Authorities} = lists:keyfind(cacerts, 1, Client),
  Pem = fun(What, Ders) -> public_key:pem_encode([{What, Der, not_encrypted} || Der <- Ders]) end,
  Write = fun(Name, Text) -> ok = file:write_file(filename:join(Folder, Name), Text) end,
  Write("certificate.pem", Pem('Certificate', [Cert])),
  Write("key.pem", Pem(Kind, [Key])),
  Write("authorities.pem", Pem('Certificate', Authorities)),
  halt().`;

/** Writes a certificate of "localhost" and its key; `authority` is who vouches for it. */
export function makeCertificate(folder: string): { readonly authority: Buffer; readonly settings: string[] } {
  execFileSync('erl', ['-noshell', '-eval', PROGRAM, '-extra', folder]);
  return {
    authority: readFileSync(join(folder, 'authorities.pem')),
    settings: [
      `ssl_options.cacertfile = ${join(folder, 'authorities.pem')}`,
      `ssl_options.certfile = ${join(folder, 'certificate.pem')}`,
      `ssl_options.keyfile = ${join(folder, 'key.pem')}`,
      'ssl_options.verify = verify_none',
    ],
  };
}
