//! The matrix: one row per system call that any policy names, one column per ABI, `-` where the ABI
//! lacks the call.
//!
//! The only place with system call numbers. They are written as the kernel's `asm/unistd*.h` has
//! them, but for x32, whose numbers stand here without `__X32_SYSCALL_BIT`
//! ([`Abi::nr_bit`](super::abi::Abi::nr_bit) adds it). Checked, cell by cell, against two
//! independent sources by `tests/it/table.rs`.
//!
//! Traps: x32 is not x86-64 plus a bit (ioctl and kexec_load have numbers of their own); i386, arm
//! and 31-bit s390 have both `chown` (16-bit ids) and `chown32`; aarch64, riscv and loongarch have
//! no chown, lchown, chmod, mknod, utime, stat, and riscv32 no utimensat but the one with 64-bit
//! times, and of the stat family only statx; arm has no utime, and its `sync_file_range2` is called
//! `arm_sync_file_range` in its header; powerpc has numbers for `oldstat` and its like, and no such
//! calls; from 424 on the numbers agree everywhere, the mips offset aside.

/// A cell that holds no number.
const NONE: u16 = u16::MAX;

macro_rules! cell {
    (-) => {
        NONE
    };
    ($nr:literal) => {
        $nr
    };
}

macro_rules! table {
    ($([$name:ident $($cell:tt)+])+) => {
        /// A system call by name; [`Sysno::nr`] gives its number on an ABI.
        // The kernel's own spelling, and its manual's documentation.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Sysno { $($name,)+ }

        impl Sysno {
            /// Every call of the matrix, in the matrix's order.
            pub const ALL: &[Sysno] = &[$(Sysno::$name,)+];

            /// The call's name, as in `asm/unistd.h` without `__NR_`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                const NAMES: &[&str] = &[$(stringify!($name),)+];
                NAMES[self as usize]
            }
        }

        const MATRIX: &[[u16; super::abi::Abi::ALL.len()]] = &[$([$(cell!($cell),)+],)+];
    };
}

impl Sysno {
    /// The call's number on `abi` as `seccomp_data.nr` shows it (for x32 with the bit), or `None`
    /// where the ABI lacks the call.
    #[must_use]
    pub const fn nr(self, abi: super::abi::Abi) -> Option<u32> {
        match MATRIX[self as usize][abi as usize] {
            NONE => None,
            nr => Some(nr as u32 | abi.nr_bit()),
        }
    }

    /// The call that `nr` is on `abi`, as `seccomp_data.nr` shows it (for x32 with the bit), or
    /// `None` if it is none of the matrix.
    #[must_use]
    pub fn of(abi: super::abi::Abi, nr: u32) -> Option<Sysno> {
        let nr = u16::try_from(nr ^ abi.nr_bit()).ok();
        let nr = nr.filter(|nr| *nr != NONE)?;
        let calls = &BY_NUMBER[abi as usize];
        let number = |call: &u8| MATRIX[usize::from(*call)][abi as usize];
        let at = calls.binary_search_by_key(&nr, number).ok()?;
        Some(Sysno::ALL[usize::from(calls[at])])
    }
}

/// For each ABI all calls, by their numbers: a supervisor looks one up in each call.
static BY_NUMBER: [[u8; MATRIX.len()]; super::abi::Abi::ALL.len()] = by_number();

#[allow(clippy::cast_possible_truncation)] // there are not so many
const fn by_number() -> [[u8; MATRIX.len()]; super::abi::Abi::ALL.len()] {
    const { assert!(MATRIX.len() <= 1 << u8::BITS) };
    let mut all = [[0; MATRIX.len()]; super::abi::Abi::ALL.len()];
    let mut abi = 0;
    while abi < all.len() {
        let mut call = 0;
        while call < MATRIX.len() {
            let mut at = call;
            while at > 0 && MATRIX[all[abi][at - 1] as usize][abi] > MATRIX[call][abi] {
                all[abi][at] = all[abi][at - 1];
                at -= 1;
            }
            all[abi][at] = call as u8;
            call += 1;
        }
        abi += 1;
    }
    all
}

#[rustfmt::skip]
table! {
    //                 x86_64   x32  i386 arm64   arm ppc64 s390x  s390  rv64  rv32 loong mips64   n32 mipsel
    [chown                 92    92   182     -   182   181   212   182     -     -     -  5090  6090  4202]
    [fchown                93    93    95    55    95    95   207    95    55    55    55  5091  6091  4095]
    [lchown                94    94    16     -    16    16   198    16     -     -     -  5092  6092  4016]
    [fchownat             260   260   298    54   325   289   291   291    54    54    54  5250  6254  4291]
    [chown32                -     -   212     -   212     -     -   212     -     -     -     -     -     -]
    [fchown32               -     -   207     -   207     -     -   207     -     -     -     -     -     -]
    [lchown32               -     -   198     -   198     -     -   198     -     -     -     -     -     -]

    [semctl                66    66   394   191   300   394   394   394   191   191   191  5064  6064  4394]
    [msgctl                71    71   402   187   304   402   402   402   187   187   187  5069  6069  4402]
    [shmctl                31    31   396   195   308   396   396   396   195   195   195  5030  6030  4396]

    [setuid               105   105    23   146    23    23   213    23   146   146   146  5103  6103  4023]
    [setgid               106   106    46   144    46    46   214    46   144   144   144  5104  6104  4046]
    [setreuid             113   113    70   145    70    70   203    70   145   145   145  5111  6111  4070]
    [setregid             114   114    71   143    71    71   204    71   143   143   143  5112  6112  4071]
    [setresuid            117   117   164   147   164   164   208   164   147   147   147  5115  6115  4185]
    [setresgid            119   119   170   149   170   169   210   170   149   149   149  5117  6117  4190]
    [setfsuid             122   122   138   151   138   138   215   138   151   151   151  5120  6120  4138]
    [setfsgid             123   123   139   152   139   139   216   139   152   152   152  5121  6121  4139]
    [setgroups            116   116    81   159    81    81   206    81   159   159   159  5114  6114  4081]

    [setuid32               -     -   213     -   213     -     -   213     -     -     -     -     -     -]
    [setgid32               -     -   214     -   214     -     -   214     -     -     -     -     -     -]
    [setreuid32             -     -   203     -   203     -     -   203     -     -     -     -     -     -]
    [setregid32             -     -   204     -   204     -     -   204     -     -     -     -     -     -]
    [setresuid32            -     -   208     -   208     -     -   208     -     -     -     -     -     -]
    [setresgid32            -     -   210     -   210     -     -   210     -     -     -     -     -     -]
    [setfsuid32             -     -   215     -   215     -     -   215     -     -     -     -     -     -]
    [setfsgid32             -     -   216     -   216     -     -   216     -     -     -     -     -     -]
    [setgroups32            -     -   206     -   206     -     -   206     -     -     -     -     -     -]

    [capget               125   125   184    90   184   183   184   184    90    90    90  5123  6123  4204]
    [capset               126   126   185    91   185   184   185   185    91    91    91  5124  6124  4205]
    [prctl                157   157   172   167   172   171   172   172   167   167   167  5153  6153  4192]

    [mknod                133   133    14     -    14    14    14    14     -     -     -  5131  6131  4014]
    [mknodat              259   259   297    33   324   288   290   290    33    33    33  5249  6253  4290]
    [landlock_restrict_self 446 446   446   446   446   446   446   446   446   446   446  5446  6446  4446]

    [kexec_load           246   528   283   104   347   268   277   277   104   104   104  5270  6274  4311]

    [getuid               102   102    24   174    24    24   199    24   174   174   174  5100  6100  4024]
    [geteuid              107   107    49   175    49    49   201    49   175   175   175  5105  6105  4049]
    [getgid               104   104    47   176    47    47   200    47   176   176   176  5102  6102  4047]
    [getegid              108   108    50   177    50    50   202    50   177   177   177  5106  6106  4050]
    [getuid32               -     -   199     -   199     -     -   199     -     -     -     -     -     -]
    [geteuid32              -     -   201     -   201     -     -   201     -     -     -     -     -     -]
    [getgid32               -     -   200     -   200     -     -   200     -     -     -     -     -     -]
    [getegid32              -     -   202     -   202     -     -   202     -     -     -     -     -     -]
    [getresuid            118   118   165   148   165   165   209   165   148   148   148  5116  6116  4186]
    [getresgid            120   120   171   150   171   170   211   171   150   150   150  5118  6118  4191]
    [getgroups            115   115    80   158    80    80   205    80   158   158   158  5113  6113  4080]
    [getresuid32            -     -   209     -   209     -     -   209     -     -     -     -     -     -]
    [getresgid32            -     -   211     -   211     -     -   211     -     -     -     -     -     -]
    [getgroups32            -     -   205     -   205     -     -   205     -     -     -     -     -     -]

    [sync                 162   162    36    81    36    36    36    36    81    81    81  5157  6157  4036]
    [syncfs               306   306   344   267   373   348   338   338   267   267   267  5301  6306  4342]
    [fsync                 74    74   118    82   118   118   118   118    82    82    82  5072  6072  4118]
    [fdatasync             75    75   148    83   148   148   148   148    83    83    83  5073  6073  4152]
    [msync                 26    26   144   227   144   144   144   144   227   227   227  5025  6025  4144]
    [sync_file_range      277   277   314    84     -     -   307   307    84    84    84  5264  6268  4305]
    [sync_file_range2       -     -     -     -   341   308     -     -     -     -     -     -     -     -]

    [setxattr             188   188   226     5   226   209   224   224     5     5     5  5180  6180  4224]
    [lsetxattr            189   189   227     6   227   210   225   225     6     6     6  5181  6181  4225]
    [fsetxattr            190   190   228     7   228   211   226   226     7     7     7  5182  6182  4226]
    [setxattrat           463   463   463   463   463   463   463   463   463   463   463  5463  6463  4463]
    [removexattr          197   197   235    14   235   218   233   233    14    14    14  5189  6189  4233]
    [lremovexattr         198   198   236    15   236   219   234   234    15    15    15  5190  6190  4234]
    [fremovexattr         199   199   237    16   237   220   235   235    16    16    16  5191  6191  4235]
    [removexattrat        466   466   466   466   466   466   466   466   466   466   466  5466  6466  4466]
    [getxattr             191   191   229     8   229   212   227   227     8     8     8  5183  6183  4227]
    [lgetxattr            192   192   230     9   230   213   228   228     9     9     9  5184  6184  4228]
    [fgetxattr            193   193   231    10   231   214   229   229    10    10    10  5185  6185  4229]
    [getxattrat           464   464   464   464   464   464   464   464   464   464   464  5464  6464  4464]
    [listxattr            194   194   232    11   232   215   230   230    11    11    11  5186  6186  4230]
    [llistxattr           195   195   233    12   233   216   231   231    12    12    12  5187  6187  4231]
    [flistxattr           196   196   234    13   234   217   232   232    13    13    13  5188  6188  4232]
    [listxattrat          465   465   465   465   465   465   465   465   465   465   465  5465  6465  4465]

    [chmod                 90    90    15     -    15    15    15    15     -     -     -  5088  6088  4015]
    [fchmod                91    91    94    52    94    94    94    94    52    52    52  5089  6089  4094]
    [fchmodat             268   268   306    53   333   297   299   299    53    53    53  5258  6262  4299]
    [fchmodat2            452   452   452   452   452   452   452   452   452   452   452  5452  6452  4452]
    [utime                132   132    30     -     -    30    30    30     -     -     -  5130  6130  4030]
    [utimes               235   235   271     -   269   251   313   313     -     -     -  5226  6230  4267]
    [futimesat            261   261   299     -   326   290   292   292     -     -     -  5251  6255  4292]
    [utimensat            280   280   320    88   348   304   315   315    88     -    88  5275  6279  4316]
    [utimensat_time64       -     -   412     -   412     -     -   412     -   412     -     -  6412  4412]

    [ioctl                 16   514    54    29    54    54    54    54    29    29    29  5015  6015  4054]
    [file_setattr         469   469   469   469   469   469   469   469   469   469   469  5469  6469  4469]

    [sethostname          170   170    74   161    74    74    74    74   161   161   161  5165  6165  4074]
    [setdomainname        171   171   121   162   121   121   121   121   162   162   162  5166  6166  4121]
    [settimeofday         164   164    79   170    79    79    79    79   170     -   170  5159  6159  4079]
    [clock_settime        227   227   264   112   262   245   259   259   112     -   112  5221  6225  4262]
    [clock_settime64        -     -   404     -   404     -     -   404     -   404     -     -  6404  4404]
    [adjtimex             159   159   124   171   124   124   124   124   171     -   171  5154  6154  4124]
    [clock_adjtime        305   305   343   266   372   347   337   337   266     -   266  5300  6305  4341]
    [clock_adjtime64        -     -   405     -   405     -     -   405     -   405     -     -  6405  4405]
    [stime                  -     -    25     -     -    25     -    25     -     -     -     -     -  4025]

    [nice                   -     -    34     -    34    34    34    34     -     -     -     -     -  4034]
    [setpriority          141   141    97   140    97    97    97    97   140   140   140  5138  6138  4097]
    [sched_setscheduler   144   144   156   119   156   156   156   156   119   119   119  5141  6141  4160]
    [sched_setparam       142   142   154   118   154   154   154   154   118   118   118  5139  6139  4158]
    [sched_setattr        314   314   351   274   380   355   345   345   274   274   274  5309  6313  4349]
    [ioprio_set           251   251   289    30   314   273   282   282    30    30    30  5273  6277  4314]
    [setrlimit            160   160    75   164    75    75    75    75   164     -     -  5155  6155  4075]
    [getrlimit             97    97    76   163     -    76   191    76   163     -     -  5095  6095  4076]
    [ugetrlimit             -     -   191     -   191   190     -   191     -     -     -     -     -     -]
    [prlimit64            302   302   340   261   369   325   334   334   261   261   261  5297  6302  4338]

    [mlock                149   149   150   228   150   150   150   150   228   228   228  5146  6146  4154]
    [mlock2               325   325   376   284   390   378   374   374   284   284   284  5319  6323  4359]
    [mlockall             151   151   152   230   152   152   152   152   230   230   230  5148  6148  4156]

    [mount                165   165    21    40    21    21    21    21    40    40    40  5160  6160  4021]
    [umount                 -     -    22     -     -    22    22    22     -     -     -     -     -  4022]
    [umount2              166   166    52    39    52    52    52    52    39    39    39  5161  6161  4052]
    [fsopen               430   430   430   430   430   430   430   430   430   430   430  5430  6430  4430]
    [fsconfig             431   431   431   431   431   431   431   431   431   431   431  5431  6431  4431]
    [fsmount              432   432   432   432   432   432   432   432   432   432   432  5432  6432  4432]
    [fspick               433   433   433   433   433   433   433   433   433   433   433  5433  6433  4433]
    [move_mount           429   429   429   429   429   429   429   429   429   429   429  5429  6429  4429]
    [open_tree            428   428   428   428   428   428   428   428   428   428   428  5428  6428  4428]
    [open_tree_attr       467   467   467   467   467   467   467   467   467   467   467  5467  6467  4467]
    [mount_setattr        442   442   442   442   442   442   442   442   442   442   442  5442  6442  4442]

    [chroot               161   161    61    51    61    61    61    61    51    51    51  5156  6156  4061]
    [pivot_root           155   155   217    41   218   203   217   217    41    41    41  5151  6151  4216]
    [setns                308   308   346   268   375   350   339   339   268   268   268  5303  6308  4344]
    [unshare              272   272   310    97   337   282   303   303    97    97    97  5262  6266  4303]

    [open                   2     2     5     -     5     5     5     5     -     -     -  5002  6002  4005]
    [creat                 85    85     8     -     8     8     8     8     -     -     -  5083  6083  4008]
    [openat               257   257   295    56   322   286   288   288    56    56    56  5247  6251  4288]
    [openat2              437   437   437   437   437   437   437   437   437   437   437  5437  6437  4437]
    [mkdir                 83    83    39     -    39    39    39    39     -     -     -  5081  6081  4039]
    [mkdirat              258   258   296    34   323   287   289   289    34    34    34  5248  6252  4289]
    [symlink               88    88    83     -    83    83    83    83     -     -     -  5086  6086  4083]
    [symlinkat            266   266   304    36   331   295   297   297    36    36    36  5256  6260  4297]

    [unlink                87    87    10     -    10    10    10    10     -     -     -  5085  6085  4010]
    [unlinkat             263   263   301    35   328   292   294   294    35    35    35  5253  6257  4294]
    [rmdir                 84    84    40     -    40    40    40    40     -     -     -  5082  6082  4040]
    [rename                82    82    38     -    38    38    38    38     -     -     -  5080  6080  4038]
    [renameat             264   264   302    38   329   293   295   295     -     -     -  5254  6258  4295]
    [renameat2            316   316   353   276   382   357   347   347   276   276   276  5311  6315  4351]
    [execve                 59   520    11   221    11    11    11    11   221   221   221  5057  6057  4011]
    [execveat              322   545   358   281   387   362   354   354   281   281   281  5316  6320  4356]

    [io_uring_setup       425   425   425   425   425   425   425   425   425   425   425  5425  6425  4425]

    [oldstat                 -     -    18     -     -    18     -     -     -     -     -     -     -     -]
    [oldfstat                -     -    28     -     -    28     -     -     -     -     -     -     -     -]
    [oldlstat                -     -    84     -     -    84     -     -     -     -     -     -     -     -]
    [stat                    4     4   106     -   106   106   106   106     -     -     -  5004  6004  4106]
    [fstat                   5     5   108    80   108   108   108   108    80     -    80  5005  6005  4108]
    [lstat                   6     6   107     -   107   107   107   107     -     -     -  5006  6006  4107]
    [newfstatat            262   262     -    79     -   291   293     -    79     -    79  5252  6256     -]
    [stat64                  -     -   195     -   195     -     -   195     -     -     -     -     -  4213]
    [fstat64                 -     -   197     -   197     -     -   197     -     -     -     -     -  4215]
    [lstat64                 -     -   196     -   196     -     -   196     -     -     -     -     -  4214]
    [fstatat64               -     -   300     -   327     -     -   293     -     -     -     -     -  4293]
    [statx                 332   332   383   291   397   383   379   379   291   291   291  5326  6330  4366]

    [getsockopt            55   542   365   209   295   340   365   365   209   209   209  5054  6054  4173]
    [connect               42    42   362   203   283   328   362   362   203   203   203  5041  6041  4170]
    [listen                50    50   363   201   284   329   363   363   201   201   201  5049  6049  4174]
    [socketpair            53    53   360   199   288   333   360   360   199   199   199  5052  6052  4184]
    [bind                  49    49   361   200   282   327   361   361   200   200   200  5048  6048  4169]
    [socketcall             -     -   102     -     -   102   102   102     -     -     -     -     -  4102]
}
