# The container runtime, Debian's, run by its own unit.
#
# @param sandbox_image The image that holds a pod's namespaces.
# @param registries By name: where images come from, and through which mirrors.
# @param concurrent_downloads How many layers are fetched at a time.
class profile::containerd (
  String                                                             $sandbox_image,
  Hash[String, Struct[{ server => String, mirrors => Array[String] }]] $registries           = {},
  Integer[1]                                                         $concurrent_downloads = 3,
) {
  site::package { 'containerd': }
  -> site::dir { ['/etc/containerd', '/etc/containerd/certs.d', '/etc/cni', '/opt/cni', '/opt/cni/bin']: }
  site::dir { '/etc/cni/net.d':
    mode => '0755',
  }
  $settings = {
    'sandbox_image'        => $sandbox_image,
    'systemd_cgroup'       => true,
    'concurrent_downloads' => $concurrent_downloads,
  }
  site::file {
    '/etc/containerd/config.toml':
      content => epp('profile/containerd.toml.epp', $settings),
      restart => 'containerd';
    '/etc/crictl.yaml':
      content => "runtime-endpoint: unix:///run/containerd/containerd.sock\ntimeout: 10\n";
    '/etc/cni/net.d/99-loopback.conf':
      content => "{\"cniVersion\": \"0.3.1\", \"name\": \"lo\", \"type\": \"loopback\"}\n";
  }
  $registries.each |$name, $registry| {
    site::dir { "/etc/containerd/certs.d/${name}": }
    site::file { "/etc/containerd/certs.d/${name}/hosts.toml":
      content => epp('profile/registry-hosts.toml.epp', $registry),
    }
  }
  site::service { 'containerd': }
}
