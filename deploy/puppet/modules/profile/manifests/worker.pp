# What a host of workloads has besides the kubelet: storage, images and the collection of garbage.
#
# @param image_gc When the kubelet collects images: percent of the disk, high and low.
# @param local_volumes Directories offered as local volumes.
class profile::worker (
  Tuple[Integer[0, 100], Integer[0, 100]] $image_gc      = [85, 70],
  Array[Stdlib::Absolutepath]             $local_volumes = [],
) {
  site::dir { ['/etc/systemd/system/kubelet.service.d', '/etc/iscsi']: }
  site::dir { $local_volumes: }
  site::file {
    '/etc/systemd/system/kubelet.service.d/20-images.conf':
      content => @("UNIT"),
        [Service]
        Environment=IMAGE_GC="--image-gc-high-threshold=${image_gc[0]} --image-gc-low-threshold=${image_gc[1]}"
        | UNIT
      restart => 'kubelet';
    '/etc/iscsi/initiatorname.iscsi':
      content => "InitiatorName=iqn.2026-01.example:${facts['tarmak']['instance']}\n",
      mode    => '0600';
    '/etc/cron.d/images':
      content => "41 4 * * * root test -x /usr/local/bin/crictl && crictl rmi --prune > /dev/null 2>&1\n";
  }
}
