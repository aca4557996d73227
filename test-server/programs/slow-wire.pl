#!/usr/bin/perl
# A wire with a delay, a rate, a queue and losses: what one tunnel device sends the other one gets later, or not at all.
# Kernels of test machines may have no netem, and Node cannot ask for a tunnel device.
#
#   slow-wire.pl NAME OTHER-NAME DELAY-MS LOSS-PER-MILLE KILOBYTES-PER-SECOND QUEUE-MS
#
# Makes both devices and says "ready"; ends with its standard input. A packet that would wait longer than QUEUE-MS is dropped,
# as one in a full queue of a modem is.
use strict;
use warnings;
use Fcntl qw(O_RDWR O_NONBLOCK);

my ($name, $other, $delay_ms, $loss, $rate, $queue_ms) = @ARGV;
use constant { TUNSETIFF => 0x400454ca, IFF_TUN => 1, IFF_NO_PI => 0x1000, CLOCK_MONOTONIC => 1, PIECE => 65536 };
# System call numbers of clock_gettime: perl-base has no finer clock.
my %CLOCK_GETTIME = (x86_64 => 228, aarch64 => 113);
my ($machine) = map { (split / /)[-1] } `uname -m` =~ /(\S+)/;
my $clock_gettime = $CLOCK_GETTIME{$machine} // die "no clock on $machine\n";

sub now {
    my $spec = "\0" x 16;
    syscall($clock_gettime, CLOCK_MONOTONIC, $spec);
    my ($seconds, $nanoseconds) = unpack 'q2', $spec;
    return $seconds * 1000 + $nanoseconds / 1e6;
}

sub open_device {
    my ($device) = @_;
    sysopen my $handle, '/dev/net/tun', O_RDWR | O_NONBLOCK or die "/dev/net/tun: $!\n";
    my $request = pack 'a16 S x22', $device, IFF_TUN | IFF_NO_PI;
    ioctl $handle, TUNSETIFF, $request or die "$device: $!\n";
    return $handle;
}

my @ends = map { { handle => open_device($_), queue => [], free_ms => 0 } } $name, $other;
$| = 1;
print "ready\n";
my $seed = 1;
while (1) {
    my $ms = now();
    my $wait;
    for my $end (@ends) {
        my $next = $end->{queue}[0] or next;
        my $left = $next->[0] - $ms;
        $wait = $left if !defined $wait || $left < $wait;
    }
    my $watched = '';
    vec($watched, fileno($_), 1) = 1 for \*STDIN, map { $_->{handle} } @ends;
    select $watched, undef, undef, defined $wait ? ($wait > 0 ? $wait / 1000 : 0) : undef;
    last if vec($watched, fileno(STDIN), 1) && !sysread STDIN, my $ignored, 100;
    $ms = now();
    for my $from (0, 1) {
        my $end = $ends[$from];
        next unless vec $watched, fileno($end->{handle}), 1;
        for (1 .. 64) {
            last unless sysread $end->{handle}, my $packet, PIECE;
            # A sequence of its own, the same in every run.
            $seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
            next if ($seed >> 8) % 1000 < $loss;
            my $free_ms = $end->{free_ms} > $ms ? $end->{free_ms} : $ms;
            next if $free_ms - $ms > $queue_ms;
            $end->{free_ms} = $free_ms + length($packet) / $rate;
            push @{ $end->{queue} }, [$end->{free_ms} + $delay_ms, $packet];
        }
    }
    $ms = now();
    for my $from (0, 1) {
        my $queue = $ends[$from]{queue};
        while (@$queue && $queue->[0][0] <= $ms) {
            syswrite $ends[1 - $from]{handle}, (shift @$queue)->[1];
        }
    }
}
