# The control plane of Kubernetes, as static pods of this Node's kubelet.
#
# @param registry Where the components' images come from.
# @param version The version of Kubernetes.
# @param components By name: port, requested CPU, and flags.
# @param audit_rules Rules of the API's audit log.
# @param etcd The etcd cluster's members: names and addresses.
class profile::control_plane (
  String                     $registry,
  String                     $version,
  Hash[String, Struct[{
    port  => Integer,
    cpu   => String,
    flags => Hash[String, Scalar],
  }]]                        $components,
  Array[Hash]                $audit_rules,
  Hash[String, Stdlib::Host] $etcd = site::members('etcd'),
) {
  $endpoints = $etcd.keys.sort.map |$name| { "https://${etcd[$name]}:2379" }
  $derived = {
    'kube-apiserver' => {
      'advertise-address' => site::address(),
      'etcd-servers'      => join($endpoints, ','),
    },
  }
  $components.each |$name, $component| {
    site::file { "/etc/kubernetes/manifests/${name}.yaml":
      mode    => '0600',
      content => epp('profile/static-pod.yaml.epp', {
        'component' => $name,
        'image'     => "${registry}/${name}:${version}",
        'flags'     => $component['flags'] + pick($derived[$name], {}),
        'port'      => $component['port'],
        'cpu'       => $component['cpu'],
      }),
    }
  }
  site::file {
    '/etc/kubernetes/audit-policy.yaml':
      content => epp('profile/audit-policy.yaml.epp', { 'rules' => $audit_rules });
    '/etc/logrotate.d/kube-apiserver-audit':
      content => epp('profile/logrotate.epp', {
        'paths' => ['/var/log/kubernetes/audit.log'], 'every' => 'daily', 'keep' => 14, 'size' => '512M',
      });
    '/etc/profile.d/kubeconfig.sh':
      content => "export KUBECONFIG=/etc/kubernetes/admin.conf\n";
  }
}
