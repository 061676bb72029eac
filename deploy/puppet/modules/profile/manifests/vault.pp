# A member of the Vault cluster. It starts sealed: unsealing needs people, so no service is restarted.
#
# @param policies By name: paths, and what may be done there.
# @param members Every member of the cluster: its name, and its address.
# @param address Where this member listens; its own entry among the members if not given.
# @param log_level How much it says.
class profile::vault (
  Hash[String, Hash[String, Array[String]]] $policies,
  Hash[String, Stdlib::Host]                $members   = site::members('vault'),
  Optional[Stdlib::Host]                    $address   = undef,
  Enum['error', 'warn', 'info', 'debug']    $log_level = 'info',
) {
  $instance = $facts['tarmak']['instance']
  $settings = {
    'instance'  => $instance,
    'address'   => pick($address, $members[$instance], $instance),
    'peers'     => $members - $instance,
    'log_level' => $log_level,
  }
  site::account { 'vault':
    home => '/var/lib/vault',
  }
  site::dir {
    default:
      require => Site::Account['vault'];
    ['/etc/vault.d', '/etc/vault.d/policies']:
      ;
    ['/etc/vault.d/tls', '/var/lib/vault']:
      owner => 'vault',
      mode  => '0700';
  }
  site::file {
    '/etc/vault.d/vault.hcl':
      content => epp('profile/vault.hcl.epp', $settings);
    '/etc/vault.d/vault.env':
      content => "VAULT_ADDR=https://127.0.0.1:8200\nVAULT_CACERT=/etc/vault.d/tls/ca.crt\n";
    '/etc/profile.d/vault.sh':
      content => "set -a; . /etc/vault.d/vault.env; set +a\n";
  }
  $policies.each |$name, $paths| {
    site::file { "/etc/vault.d/policies/${name}.hcl":
      content => epp('profile/vault-policy.hcl.epp', { 'paths' => $paths }),
    }
  }
  site::unit { 'vault.service':
    content => epp('profile/unit.epp', {
      'description' => 'Vault, the keeper of secrets',
      'command'     => '/usr/local/bin/vault server -config=/etc/vault.d/vault.hcl',
      'user'        => 'vault',
      'environment' => '/etc/vault.d/vault.env',
      'settings'    => {
        'AmbientCapabilities' => 'CAP_IPC_LOCK',
        'KillSignal'          => 'SIGINT',
        'ProtectSystem'       => 'full',
      },
    }),
  }
}
