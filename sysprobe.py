import sys, os, json, subprocess, time
sys.path.insert(0, 'benchmarks')
import catalog, loops, native
row,loop=sys.argv[1:3]
order={"scenario":row,"loop":loop,"heap":"warmed","seconds":2,"quick":False}
p=subprocess.Popen(['strace','-f','-c','-o','/tmp/st.txt',sys.executable,'benchmarks/worker.py',json.dumps(order)],stdout=subprocess.PIPE,env=loops.environment())
port=json.loads(p.stdout.readline())['port']
l=subprocess.Popen([native.program('load'),'http',str(port),'64','64','0.3','2',str(p.pid)],stdout=subprocess.PIPE)
done=json.loads(l.stdout.readline())
import signal
subprocess.run(['pkill','-INT','-P',str(p.pid)]); time.sleep(0.5); p.kill(); p.wait(); l.wait()
n=done['requests']; print(row,loop,'requests (of 2 of 2.3 s)',n)
for line in open('/tmp/st.txt').read().splitlines()[2:9]: 
    f=line.split(); print(f[-1], f[3], round(int(f[3])/n/1.15,3) if f[3].isdigit() else '')
