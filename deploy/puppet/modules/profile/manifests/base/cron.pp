# What runs the entries that other profiles put into /etc/cron.d.
class profile::base::cron {
  site::service { 'cron': }
}
