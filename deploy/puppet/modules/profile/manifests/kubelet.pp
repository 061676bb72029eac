# The kubelet, as a Kubernetes Node of the master and the worker role.
#
# @param cluster_dns Where pods ask for names.
# @param cluster_domain The domain of the cluster's services.
# @param max_pods How many pods the Node takes.
# @param reserved What is kept for the host.
# @param eviction When pods have to go.
# @param labels Labels of the Node, besides its pool.
# @param taints Taints that the Node registers with.
class profile::kubelet (
  Array[Stdlib::IP::Address] $cluster_dns,
  Stdlib::Fqdn               $cluster_domain = 'cluster.local',
  Integer[1]                 $max_pods       = 110,
  Hash[String, String]       $reserved       = {},
  Hash[String, String]       $eviction       = {},
  Hash[String, String]       $labels         = {},
  Array[String]              $taints         = [],
) {
  $settings = {
    'cluster_dns'    => $cluster_dns,
    'cluster_domain' => $cluster_domain,
    'max_pods'       => $max_pods,
    'reserved'       => $reserved,
    'eviction'       => $eviction,
  }
  $pool = pick($facts['tarmak']['pool'], $facts['tarmak']['role'])
  $flags = {
    'instance' => $facts['tarmak']['instance'],
    'labels'   => $labels + { 'tarmak/pool' => $pool },
    'taints'   => $taints,
  }
  site::dir { ['/etc/kubernetes', '/etc/kubernetes/manifests', '/var/lib/kubelet']: }
  site::dir { '/etc/kubernetes/pki':
    mode => '0700',
  }
  site::file {
    '/var/lib/kubelet/config.yaml':
      content => epp('profile/kubelet.yaml.epp', $settings),
      restart => 'kubelet';
    '/etc/default/kubelet':
      content => epp('profile/kubelet-flags.epp', $flags),
      restart => 'kubelet';
    '/etc/logrotate.d/pods':
      content => epp('profile/logrotate.epp', { 'paths' => ['/var/log/pods/*/*.log'], 'every' => 'daily', 'keep' => 5 });
  }
  site::unit { 'kubelet.service':
    content => epp('profile/unit.epp', {
      'description' => 'kubelet, the agent of Kubernetes',
      'command'     => '/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml $KUBELET_ARGS',
      'after'       => ['network-online.target', 'containerd.service'],
      'environment' => '/etc/default/kubelet',
    }),
    service => 'kubelet',
  }
}
