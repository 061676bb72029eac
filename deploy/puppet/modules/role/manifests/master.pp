# Runs the control plane of Kubernetes.
class role::master {
  contain profile::base
  contain profile::containerd
  contain profile::kubelet
  contain profile::control_plane

  Class['profile::base'] -> Class['profile::containerd']
  Class['profile::base'] -> Class['profile::kubelet']
  Class['profile::base'] -> Class['profile::control_plane']
}
