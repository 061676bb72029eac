# Runs the workloads.
class role::worker {
  contain profile::base
  contain profile::containerd
  contain profile::kubelet
  contain profile::worker

  Class['profile::base'] -> Class['profile::containerd']
  Class['profile::base'] -> Class['profile::kubelet']
  Class['profile::base'] -> Class['profile::worker']
}
